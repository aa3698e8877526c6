"""A stage runs as soon as its inputs are ready, and failures are reported."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prefect import flow

from flows import stages
from flows.stages import StageFailed
from flows.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

#: `slow` and `quick` read split; `after` reads quick alone, so that it need not wait for slow.
DIAMOND = """
stages:
  split: {cmd: mkdir -p data && echo > data/split, outs: [data/split]}
  slow:
    cmd: while ! test -e data/after; do sleep 0.1; done; echo > data/slow
    deps: [data/split]
    outs: [data/slow]
  quick: {cmd: echo > data/quick, deps: [data/split], outs: [data/quick]}
  after: {cmd: "WORK", deps: [data/quick], outs: [data/after]}
  package: {cmd: cat data/slow data/after > data/release, deps: [data/slow, data/after],
            outs: [data/release]}
  apart: {cmd: "false"}
"""


def made(workspace: Workspace) -> list[str]:
    """The outputs that exist."""
    return sorted(path.name for path in (workspace.root / "data").iterdir())


@pytest.fixture
def run(
    prefect: Callable[[], None], workspace: Workspace, tmp_path: Path
) -> Callable[[str], dict[str, float]]:
    """Run the pipeline with this as the command of stage `after`."""

    @flow
    def whole() -> dict[str, float]:
        # What is to follow `quick` tells which stages were done by then.
        done = {"quick": lambda: (workspace.root / "then").write_text(" ".join(made(workspace)))}
        return stages.run_stages(workspace, tmp_path / "logs", after=done)

    def of(command: str) -> dict[str, float]:
        (workspace.root / "dvc.yaml").write_text(DIAMOND.replace("WORK", command))
        prefect()
        return whole()

    return of


def test_a_stage_waits_for_what_it_reads_and_for_nothing_else(
    run: Callable[[str], dict[str, float]], workspace: Workspace
) -> None:
    seconds = run("echo > data/after")
    assert (workspace.root / "data/release").exists(), "slow ends only once after has run"
    assert set(seconds) == {"split", "slow", "quick", "after", "package"}
    assert all(value > 0 for value in seconds.values())
    assert {"split", "quick"} <= set((workspace.root / "then").read_text().split())


def test_what_failed_is_told_and_not_what_waited_for_it(
    run: Callable[[str], dict[str, float]], workspace: Workspace
) -> None:
    with pytest.raises(StageFailed, match="stage after failed"):
        run("echo > data/after; false")
    assert not (workspace.root / "data/release").exists()
