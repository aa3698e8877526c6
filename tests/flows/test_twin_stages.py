"""A second recipe is fitted beside the workspace's, by the stages that differ."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import flow

from flows import twin_stages
from flows.environment import CHECKOUT
from flows.stages import StageFailed
from flows.twin_stages import Recipe
from flows.workspace import Workspace

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

#: Copies its inputs with a number of params.yaml, and notes that it ran.
STAGE = """
import sys
from pathlib import Path

import yaml

SCALE = 1
*read, made = map(Path, sys.argv[1:])
number = yaml.safe_load(Path("params.yaml").read_text())[made.name]
with (Path(__file__).parents[1] / "ran").open("a") as file:
    file.write(f"{made.name}\\n")
made.mkdir()
if number < 0:
    sys.exit("no number below 0")
texts = [(path / "text").read_text() for path in read]
(made / "text").write_text("".join(texts) + f" {made.name}={number * SCALE}")
"""
PIPELINE = {
    "split": ("${input} data/split", ["${input}"]),
    "fit": ("data/split data/fit", ["data/split"]),
    "trees": ("data/fit data/trees", ["data/fit"]),
}
PARAMS = {"input": "data/log", "split": 1, "fit": 2, "trees": 3}


@dataclass(frozen=True)
class Place:
    """A workspace whose stages are up to date, and a folder for the twin."""

    root: Path

    @property
    def twin(self) -> Path:
        return self.root.with_name("twin")

    @property
    def own(self) -> Recipe:
        return Recipe(self.root, PARAMS)

    def fit(self, recipe: Recipe, own: Recipe | None = None) -> list[str]:
        """The stages that ran."""
        place = Workspace(self.root, self.root)
        logs = self.root.with_name("logs")

        @flow
        def run() -> list[str]:
            return list(twin_stages.fit(self.twin, recipe, place, own or self.own, logs))

        return run()

    def text(self) -> str:
        return (self.twin / "data" / "trees" / "text").read_text()

    def log(self, text: str) -> None:
        (self.root / "data" / "log" / "text").write_text(text)
        (self.root / "data" / "log.dvc").write_text(yaml.safe_dump({"outs": [{"md5": text}]}))


@pytest.fixture
def place(tmp_path: Path, prefect: Callable[[], None]) -> Place:
    prefect()
    made = Place(tmp_path / "workspace")
    code(made.root)
    for name, text in (("log", "log"), ("split", "own split"), ("fit", "own fit")):
        (made.root / "data" / name).mkdir(parents=True)
        (made.root / "data" / name / "text").write_text(text)
    made.log("monday")
    return made


def code(root: Path) -> None:
    """The code of three stages below `root`."""
    (root / "made").mkdir(parents=True)
    (root / "base").symlink_to(CHECKOUT / "base")
    stages = {}
    for name, (arguments, deps) in PIPELINE.items():
        (root / "made" / f"{name}.py").write_text(STAGE)
        command = f"exec python -m base.stage made.{name} {arguments}"
        out = arguments.split()[-1]
        stages[name] = {"cmd": command, "deps": deps, "params": [name], "outs": [out]}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))


def other(place: Place, **params: int) -> Recipe:
    return replace(place.own, params=PARAMS | params)


def test_only_stages_that_differ_run_and_read_what_the_workspace_has(place: Place) -> None:
    assert place.fit(other(place, trees=9)) == ["trees"]
    assert place.text() == "own fit trees=9"
    assert (place.twin / "data" / "fit").resolve() == place.root / "data" / "fit"
    assert place.fit(other(place, trees=9)) == []


def test_a_stage_runs_again_if_one_before_it_differs(place: Place) -> None:
    assert place.fit(other(place, split=9)) == ["split", "fit", "trees"]
    assert place.text() == "monday split=9 fit=2 trees=3"


def test_a_new_log_makes_every_stage_that_differs_run_again(place: Place) -> None:
    place.fit(other(place, fit=9))
    place.log("tuesday")
    assert place.fit(other(place, fit=9)) == ["fit", "trees"]


def test_another_challenger_on_the_same_data_leaves_the_twin_as_it_was(place: Place) -> None:
    """What the workspace holds then is no longer the twin's."""
    place.fit(other(place, trees=9))
    challenger = other(place, fit=7)
    (place.root / "data" / "fit" / "text").write_text("fit by seven")
    assert place.fit(other(place, trees=9), challenger) == ["fit"]
    assert (place.twin / "data" / "fit" / "text").read_text() == "own split fit=2"
    assert place.text() == "own fit trees=9"


def test_a_stage_that_failed_is_told_and_only_it_and_those_after_it_run_again(place: Place) -> None:
    with pytest.raises(StageFailed, match="stage trees failed: no number below 0"):
        place.fit(other(place, fit=9, trees=-1))
    assert list(json.loads((place.twin / "done.json").read_text())) == ["fit"]
    assert place.fit(other(place, fit=9, trees=4)) == ["trees"]
    assert place.text() == "own split fit=9 trees=4"


def test_the_outputs_of_a_killed_stage_are_made_anew(place: Place) -> None:
    recipe = other(place, fit=9)
    place.fit(recipe)
    done: dict[str, Any] = json.loads((place.twin / "done.json").read_text())
    (place.twin / "done.json").write_text(json.dumps({"fit": done["fit"]}))
    (place.twin / "data" / "trees" / "text").write_text("half")
    assert place.fit(recipe) == ["trees"]
    assert place.text() == "own split fit=9 trees=3"


def test_code_of_its_own_runs_where_it_differs(place: Place, tmp_path: Path) -> None:
    code(tmp_path / "older")
    path = tmp_path / "older" / "made" / "trees.py"
    path.write_text(path.read_text().replace("SCALE = 1", "SCALE = 100") + "# a comment\n")
    fit = path.with_name("fit.py")
    fit.write_text(fit.read_text() + "# a comment decides nothing\n")
    assert place.fit(Recipe(tmp_path / "older", PARAMS)) == ["trees"]
    assert place.text() == "own fit trees=300"
    assert (tmp_path / "older" / "ran").read_text() == "trees\n"


def test_removing_the_folder_leaves_what_the_workspace_has(place: Place) -> None:
    place.fit(other(place, trees=9))
    shutil.rmtree(place.twin)
    assert (place.root / "data" / "fit" / "text").read_text() == "own fit"
    assert (place.root / "data" / "log" / "text").read_text() == "monday"
