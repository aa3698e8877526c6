"""`dvc.yaml` and `params.yaml` tell the whole truth about the stages."""

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from base.params import ParamsError, load, read
from features.ingest.mapping import IngestParams
from features.splits.placements import PlacementsParams
from features.splits.windowing import SplitParams
from flows.params import RetrainParams
from serving.policy import PolicyParams
from simulation.params import WorldParams
from training.candidates import CandidateParams
from training.gate import GateParams
from training.judging import EvaluateParams
from training.sources.all import SOURCES
from training.transformer.config import TransformerParams
from training.trees import TreeParams
from training.tuning.space import TuneParams

#: The dataclass that each section of params.yaml builds; `input` is no section.
SECTIONS: dict[str, type[Any]] = {
    "world": WorldParams,
    "ingest": IngestParams,
    "placements": PlacementsParams,
    "split": SplitParams,
    "fit": TransformerParams,
    "candidates": CandidateParams,
    "trees": TreeParams,
    "evaluate": EvaluateParams,
    "policy": PolicyParams,
    "gate": GateParams,
    "retrain": RetrainParams,
    "tune": TuneParams,
    **{source.name: source.params for source in SOURCES if source.params is not None},
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
