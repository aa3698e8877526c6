"""What counts as changed code: training, features and the policy; DVC knows the same."""

from pathlib import Path

import pytest
import yaml

from features.params import read
from training.fingerprint import (
    CODE,
    FEATURE_CODE,
    SECTIONS,
    feature_fingerprint,
    fingerprint,
)


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("features/split.py", True),
        ("features/ingest/validate.py", True),
        ("training/gate.py", True),
        ("serving/policy.py", True),
        ("serving/engine.py", False),
        ("flows/retrain.py", False),
    ],
)
def test_a_changed_file_is_changed_code_where_it_decides_what_is_shown(
    tmp_path: Path, name: str, counts: bool
) -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    path.write_text("1")
    before = fingerprint(tmp_path, {})
    path.write_text("2")
    assert (fingerprint(tmp_path, {}) != before) is counts


def test_another_way_to_train_is_not_another_feature(tmp_path: Path, checkout: Path) -> None:
    for name in ("features/tokens.py", "features/split.py", "training/gate.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("1")
    params = {"fit": {"size": "tiny"}, "split": {"judge_days": 1, "min_rating": 0}}
    before = feature_fingerprint(tmp_path, params)
    for name in ("features/split.py", "training/gate.py"):
        (tmp_path / name).write_text("2")
    other = {"fit": {"size": "base"}, "split": {"judge_days": 2, "min_rating": 0}}
    assert feature_fingerprint(tmp_path, other) == before
    assert feature_fingerprint(tmp_path, {"split": {"min_rating": 4}}) != before
    (tmp_path / "features/tokens.py").write_text("2")
    assert feature_fingerprint(tmp_path, params) != before
    assert all((checkout / name).exists() for name in FEATURE_CODE)


def test_every_section_is_one_of_params_yaml(checkout: Path) -> None:
    assert set(SECTIONS) <= set(read(checkout / "params.yaml"))


def test_the_stages_that_name_the_fingerprint_depend_on_all_of_it(checkout: Path) -> None:
    stages = yaml.safe_load((checkout / "dvc.yaml").read_text())["stages"]
    for stage in ("evaluate", "package"):
        deps = [checkout / dep for dep in stages[stage]["deps"]]
        for path in (path for pattern in CODE for path in checkout.glob(pattern)):
            assert any(path == dep or dep in path.parents for dep in deps), (stage, path)
    assert set(SECTIONS) <= set(stages["evaluate"]["params"])
