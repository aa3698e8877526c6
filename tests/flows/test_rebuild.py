"""A rebuilt release has the same bytes as the original, or at least the same scores."""

import json
from pathlib import Path

import pytest

from flows.rebuild import compare
from serving.release import seal
from tests.serving.small import make_release


@pytest.fixture
def original(tmp_path: Path) -> Path:
    make_release(tmp_path / "original")
    return tmp_path / "original"


def test_the_same_bytes_are_the_same_release(original: Path, tmp_path: Path) -> None:
    identity = make_release(tmp_path / "again")
    made = compare(original, tmp_path / "again")
    assert (made.release, made.same, made.difference, made.files) == (identity, True, 0.0, ())
    assert made.passes


def test_other_bytes_with_the_same_scores_pass_and_are_named(
    original: Path, tmp_path: Path
) -> None:
    make_release(tmp_path / "again")
    (tmp_path / "again" / "lineage.json").write_text(json.dumps({"seed": 0}))
    seal(tmp_path / "again")
    made = compare(original, tmp_path / "again")
    assert not made.same
    assert made.files == ("lineage.json",)
    assert made.difference == 0.0
    assert made.passes


def test_other_scores_do_not_pass(original: Path, tmp_path: Path) -> None:
    make_release(tmp_path / "other", seed=2)
    made = compare(original, tmp_path / "other")
    assert not made.same
    assert not made.passes
    assert "golden.json" in made.files
