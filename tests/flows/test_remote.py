"""Data versions in S3, on a real server: pushed when a retrain is saved, pulled where they are
missing."""

import shutil
from pathlib import Path

import pytest

from flows.workspace import Workspace, WorkspaceError, prepare
from tests.s3 import S3


def place_with(small_checkout: Path, remote: str, name: str = "workspace") -> Workspace:
    """A workspace that has run its pipeline on a log of one file."""
    place = prepare(small_checkout.parent / name, small_checkout, remote)
    part = place.log / "events" / "dt=2026-01-01" / "part-0.parquet"
    part.parent.mkdir(parents=True)
    part.write_bytes(b"PAR1")
    place.add([place.log])
    with place.repo() as repo:
        repo.reproduce()
    return place


def test_a_save_pushes_to_s3_what_a_pull_brings_back(s3: S3, small_checkout: Path) -> None:
    place = place_with(small_checkout, s3.bucket("data-versions") + "/dvc")
    place.save_experiment("first")
    assert {key.split("/")[0] for key in s3.keys("data-versions")} == {"dvc"}
    shutil.rmtree(place.root / ".dvc" / "cache")
    for name in ("log", "split", "release"):
        shutil.rmtree(place.root / "data" / name)
    with place.repo() as repo:
        repo.pull()
    for name in ("log", "split", "release"):
        found = place.root / "data" / name / "events" / "dt=2026-01-01" / "part-0.parquet"
        assert found.read_bytes() == b"PAR1"


def test_a_remote_without_bucket_is_one_line(s3: S3, small_checkout: Path) -> None:
    place = place_with(small_checkout, "s3://nobody-made-this/dvc")
    with pytest.raises(WorkspaceError, match="s3://nobody-made-this/dvc") as raised:
        place.save_experiment("first")
    assert "\n" not in str(raised.value)
    assert s3.secret not in str(raised.value)


def test_a_remote_that_refuses_the_credentials_is_one_line(s3: S3, small_checkout: Path) -> None:
    place = place_with(small_checkout, s3.bucket("guarded-versions"))
    with s3.guarded(), pytest.raises(WorkspaceError, match="s3://guarded-versions") as raised:
        place.save_experiment("first")
    assert "\n" not in str(raised.value)
    assert s3.secret not in str(raised.value)
