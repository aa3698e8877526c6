"""`dvc.yaml` and `params.yaml` describe the stages completely."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from base.params import ParamsError, build, load, read
from features.ingest.mapping import IngestParams
from features.people.params import PeopleParams
from features.splits.placements import PlacementsParams
from features.splits.windowing import SplitParams
from flows.retrain_params import RetrainParams
from serving.policy import PolicyParams
from simulation.world_params import WorldParams
from training.canary.params import CanaryParams
from training.candidates import CandidateParams
from training.judging import EvaluateParams
from training.sources.all import SOURCES
from training.sources.stage import section_name
from training.thresholds import GateParams
from training.trees import TreeParams
from training.tuning.space import TuneParams

#: The dataclass that each section of params.yaml builds; `input` is no section.
SECTIONS: dict[str, type[Any]] = {
    "world": WorldParams,
    "ingest": IngestParams,
    "placements": PlacementsParams,
    "people": PeopleParams,
    "split": SplitParams,
    "candidates": CandidateParams,
    "trees": TreeParams,
    "evaluate": EvaluateParams,
    "policy": PolicyParams,
    "gate": GateParams,
    "canary": CanaryParams,
    "retrain": RetrainParams,
    "tune": TuneParams,
    **{section_name(source): source.params for source in SOURCES if source.params is not None},
}


def pipeline(checkout: Path) -> dict[str, Any]:
    stages: dict[str, Any] = yaml.safe_load((checkout / "dvc.yaml").read_text())["stages"]
    return stages


def test_every_listed_dependency_exists_or_is_an_output(checkout: Path) -> None:
    stages = pipeline(checkout)
    outputs = {out for stage in stages.values() for out in stage.get("outs", [])}
    for name, stage in stages.items():
        for dep in stage["deps"]:
            known = "${" in dep or dep in outputs or (checkout / dep).exists()
            assert known, f"{name}: {dep}"


def test_every_params_section_builds_its_dataclass(checkout: Path) -> None:
    path = checkout / "params.yaml"
    assert set(read(path)) - {"input"} == set(SECTIONS)
    for name, section_class in SECTIONS.items():
        section = load(section_class, name, path)
        with pytest.raises(FrozenInstanceError):
            setattr(section, fields(section_class)[0].name, None)


@pytest.mark.parametrize("name", SECTIONS)
def test_what_a_section_leaves_out_is_what_the_shipped_file_says(checkout: Path, name: str) -> None:
    """So an older file, without newer keys, still means the same."""
    shipped, defaults = load(SECTIONS[name], name, checkout / "params.yaml"), SECTIONS[name]()
    spaces = {"fit", "trees"} if name == "tune" else set()  # what is searched, the file alone says
    for field in fields(SECTIONS[name]):
        if field.name not in spaces:
            assert getattr(defaults, field.name) == getattr(shipped, field.name), field.name


@pytest.mark.parametrize("name", sorted(SECTIONS.keys() - {"world"}))
def test_the_shipped_file_shows_every_key(checkout: Path, name: str) -> None:
    """Section `world` shows only what people change.

    The other values are in simulation/world_params.py.
    """
    assert read(checkout / "params.yaml")[name].keys() == {f.name for f in fields(SECTIONS[name])}


@pytest.mark.parametrize("name", SECTIONS)
def test_a_flag_is_no_number_and_a_number_no_flag(name: str) -> None:
    for field in fields(SECTIONS[name]):
        default = getattr(SECTIONS[name](), field.name)
        if isinstance(default, bool | int | float):
            wrong = 1 if isinstance(default, bool) else True
            with pytest.raises(ParamsError, match=f"'{name}.{field.name}' must be"):
                build(SECTIONS[name], name, {field.name: wrong})


@pytest.mark.parametrize("name", SECTIONS)
def test_an_unknown_key_is_one_error_that_names_it(
    checkout: Path, tmp_path: Path, name: str
) -> None:
    content = read(checkout / "params.yaml")
    content[name]["no_such_key"] = 1
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ParamsError) as caught:
        load(SECTIONS[name], name, path)
    assert str(caught.value).startswith(f"unknown key '{name}.no_such_key'; known: ")
    assert "\n" not in str(caught.value)


def test_every_section_that_a_stage_depends_on_exists(checkout: Path) -> None:
    for name, stage in pipeline(checkout).items():
        sections = {section for section in stage.get("params", []) if isinstance(section, str)}
        assert sections <= set(SECTIONS), name
