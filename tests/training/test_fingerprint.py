"""What counts as changed code: files that decide a slate do, files that only report do not."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from base.params import read
from training.fingerprint import feature_fingerprint, fingerprint, same_features, sections


@pytest.fixture(scope="module")
def source(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the code, to be edited and put back."""
    root = tmp_path_factory.mktemp("source")
    for package in ("base", "features", "training", "serving"):
        shutil.copytree(checkout / package, root / package)
    shutil.copy(checkout / "dvc.yaml", root)
    return root


def changed(source: Path, name: str, text: str) -> tuple[bool, bool]:
    """Whether adding `text` to a file counts as changed code, and as changed features."""
    before = fingerprint({}, source), feature_fingerprint({}, source)
    kept = (source / name).read_text()
    (source / name).write_text(kept + text)
    after = fingerprint({}, source), feature_fingerprint({}, source)
    (source / name).write_text(kept)
    return after[0] != before[0], after[1] != before[1]


@pytest.mark.parametrize(
    ("name", "counts", "decides_features"),
    [
        ("features/event_log.py", True, True),
        ("features/batch/joins.py", True, True),
        ("features/splits/tokens.py", True, True),
        ("features/splits/split.py", True, True),
        ("features/batch/snapshots.py", True, True),
        ("features/repo/definitions.py", True, True),
        ("features/ingest/validate.py", True, False),
        ("features/items/text.py", True, False),
        ("training/trees.py", True, False),
        ("training/transformer/optimiser.py", True, False),
        ("training/metrics/ndcg.py", True, False),
        ("serving/policy.py", True, False),
        ("training/tuning/report.py", False, False),
        ("training/transformer/loggers.py", False, False),
        ("training/gate.py", False, False),
        ("base/settings.py", False, False),
        ("base/errors.py", False, False),
        ("base/redis_url.py", False, False),
        ("serving/engine.py", False, False),
    ],
)
def test_a_changed_file_counts_where_it_decides_something(
    source: Path, name: str, counts: bool, decides_features: bool
) -> None:
    assert changed(source, name, "\nANOTHER = 1\n") == (counts, decides_features)


def test_a_comment_is_no_change_of_code(source: Path) -> None:
    assert changed(source, "features/event_log.py", "\n# told better\n") == (False, False)


def test_a_stage_that_runs_another_module_is_changed_code(source: Path) -> None:
    before = fingerprint({}, source)
    kept = (source / "dvc.yaml").read_text()
    other = kept.replace("base.stage training.trees", "base.stage training.judging")
    assert other != kept
    (source / "dvc.yaml").write_text(other)
    assert fingerprint({}, source) != before
    (source / "dvc.yaml").write_text(kept)


@pytest.mark.parametrize(
    ("section", "key", "counts", "decides_features"),
    [
        ("split", "min_rating", True, True),
        ("split", "history_length", True, True),
        ("split", "attribution_minutes", True, True),
        ("split", "a_key_to_come", True, True),
        ("split", "judge_days", True, False),
        ("split", "max_queries", True, False),
        ("fit", "size", True, False),
        ("policy", "epsilon", True, False),
        ("ingest", "mapping", True, False),
        ("gate", "delta", False, False),
        ("world", "seed", False, False),
    ],
)
def test_a_changed_parameter_counts_where_it_decides_something(
    checkout: Path, section: str, key: str, counts: bool, decides_features: bool
) -> None:
    params: dict[str, Any] = read(checkout / "params.yaml")
    other = params | {section: params[section] | {key: "another"}}
    assert (fingerprint(other) != fingerprint(params)) is counts
    assert (feature_fingerprint(other) != feature_fingerprint(params)) is decides_features


def test_the_stage_that_names_the_fingerprint_depends_on_all_its_sections(checkout: Path) -> None:
    stages = yaml.safe_load((checkout / "dvc.yaml").read_text())["stages"]
    assert set(stages["evaluate"]["params"]) == {"evaluate", *sections()}
    assert set(sections()) <= set(read(checkout / "params.yaml"))


def test_releases_have_the_same_features_only_if_both_say_so() -> None:
    known = {"feature_fingerprint": "a", "data": "x"}
    assert same_features(known, {"feature_fingerprint": "a", "data": "y"})
    assert not same_features(known, {"feature_fingerprint": "b"})
    assert not same_features(known, {})
    assert not same_features({}, {})
