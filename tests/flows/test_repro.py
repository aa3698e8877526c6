"""`dvc repro` on a fresh clone: it runs, a second run does nothing, and the flow gives the same
numbers."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from base.params_file import edit
from base.processes import api_url, free_port, prefect_server, wait_for_prefect
from base.settings import Settings
from flows import environment, ingest
from flows.workspace import prepare, uncommitted
from serving.database import connect
from tests.flows.conftest import git
from tests.flows.killed import NOW, OVERRIDES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@dataclass(frozen=True)
class Clone:
    """A clone in which `dvc repro` has run twice; what it printed, and git's status, each time."""

    root: Path
    printed: tuple[str, str]
    status: tuple[str, str]

    @property
    def metrics(self) -> dict[str, Any]:
        return metrics_of(self.root)


def metrics_of(root: Path) -> dict[str, Any]:
    return {path.name: json.loads(path.read_text()) for path in (root / "data/metrics").iterdir()}


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Clone:
    """Of the checkout with its uncommitted edits, and a small world, all committed."""
    root = tmp_path_factory.mktemp("clone") / "rondo"
    subprocess.run(["git", "clone", "-q", checkout, root], check=True)
    patch = uncommitted(checkout)
    if patch:
        command = ["git", "apply", "--index", "--binary", "-"]
        subprocess.run(command, cwd=root, input=patch, check=True)
    edit(root / "params.yaml", OVERRIDES)
    git(root, "commit", "-qam", "a small world")
    assert not (root / "data").exists()
    printed, status = [], []
    for _ in range(2):
        result = subprocess.run(["dvc", "repro"], cwd=root, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        printed.append(result.stdout)
        status.append(git(root, "status", "--porcelain"))
    return Clone(root, (printed[0], printed[1]), (status[0], status[1]))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", api_url(port))
        with prefect_server(tmp_path / "prefect", port) as running:
            wait_for_prefect(running, port)
            yield api_url(port)


def test_it_runs_every_stage_from_nothing_and_leaves_nothing_to_commit(clone: Clone) -> None:
    stages = yaml.safe_load((clone.root / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        assert f"Running stage '{name}'" in clone.printed[0]
        assert all((clone.root / out).exists() for out in stage["outs"]), name
    for status in clone.status:
        changed = {line.split()[-1] for line in status.splitlines()}
        assert changed <= {"dvc.lock"}


def test_a_second_run_finds_nothing_to_do(clone: Clone) -> None:
    assert "Running stage" not in clone.printed[1]
    assert "up to date" in clone.printed[1]


def test_a_retrain_on_the_same_history_gives_the_same_metrics(
    clone: Clone, server: str, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path / "home")
    place = prepare(settings.root / "workspace", clone.root, settings.remote, OVERRIDES)
    engine = connect(settings.database)
    ingest.ingest_log(engine, place, clone.root / "data" / "world")
    engine.dispose()
    result = subprocess.run(
        [sys.executable, "-m", "tests.flows.killed", "never", str(NOW)],
        cwd=clone.root,
        env={**os.environ, **environment.variables(settings), "PREFECT_API_URL": server},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert not (place.root / "data" / "world").exists()
    assert {"fit.json", "trees.json", "evaluate.json"} <= set(clone.metrics)
    assert metrics_of(place.root) == clone.metrics
