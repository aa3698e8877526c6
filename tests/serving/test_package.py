"""Stage `package` on the outputs of the real stages, over a small random log."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from features.batch.aggregate import aggregate
from features.splits.split import split
from features.splits.windowing import SplitParams
from serving import check
from serving.package import package
from serving.release import Release
from tests.features.logs import random_log
from tests.training import market
from training import candidates, evaluate, trees


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Iterator[Path]:
    """A folder with params.yaml and data/ up to the stage `evaluate`; the working directory."""
    root = tmp_path_factory.mktemp("workspace")
    shutil.copy(checkout / "params.yaml", root)
    data = root / "data"
    for name in ("split", "features"):
        (data / name).mkdir(parents=True)
    split(random_log(root / "log"), data / "split", SplitParams(min_targets=40), False)
    aggregate(data / "split", data / "features")
    patch = pytest.MonkeyPatch()
    patch.chdir(root)
    inputs = data / "split", data / "features", data / "transformer"
    candidates.main(*inputs, market.fit_sources(data, data / "sources"), data / "candidates")
    trees.main(data / "candidates", data / "trees", data / "metrics" / "trees.json")
    evaluate.main(
        *inputs,
        data / "candidates",
        data / "trees",
        data / "evaluation",
        data / "metrics" / "evaluate.json",
    )
    yield root
    patch.undo()


def make(workspace: Path, name: str) -> str:
    parts = ("split", "features", "transformer", "candidates", "trees", "evaluation")
    return package(*(workspace / "data" / part for part in parts), workspace / name)


def test_the_same_outputs_give_the_same_release(workspace: Path) -> None:
    assert make(workspace, "one") == make(workspace, "two")


def test_a_release_reproduces_its_golden_requests(workspace: Path) -> None:
    make(workspace, "checked")
    numbers = check.check(workspace / "checked")
    assert check.passes(numbers)
    assert numbers["golden_requests"] > 1


def test_a_release_says_what_it_came_from(workspace: Path) -> None:
    identity = make(workspace, "lineage")
    opened = Release.open(workspace / "lineage")
    assert opened.id == identity
    evidence = json.loads((workspace / "data/evaluation/evidence.json").read_text())
    assert opened.lineage["fingerprint"] == evidence["fingerprint"]
    assert opened.lineage["windows"] == evidence["windows"]
    assert (
        opened.lineage["params"]["policy"]
        == yaml.safe_load((workspace / "params.yaml").read_text())["policy"]
    )
    assert opened.policy.epsilon == opened.lineage["params"]["policy"]["epsilon"]


def test_another_policy_is_another_release(workspace: Path) -> None:
    before = make(workspace, "before")
    path = workspace / "params.yaml"
    text = path.read_text()
    path.write_text(text.replace("epsilon:", "epsilon: 0.5 #"))
    try:
        assert make(workspace, "after") != before
        assert Release.open(workspace / "after").policy.epsilon == 0.5
    finally:
        path.write_text(text)
