"""After a kill while DVC rewrites one of its files, the next run continues normally."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import yaml
from prefect.logging import disable_run_logger

from flows import ingest, stages
from flows.torn import RUNNING
from flows.workspace import Workspace, locked
from serving.database import connect
from serving.feedback_log import FeedbackLog
from tests.flows.test_ingest import event, run

LOCK, POINTER = "dvc.lock", "data/log.dvc"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = connect(f"sqlite:///{tmp_path / 'torn.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def ingested(engine: sa.Engine, workspace: Workspace) -> Workspace:
    """A workspace with a versioned event and a stage that ran."""
    FeedbackLog(engine).append(events=[event(1)])
    run(engine, workspace)
    reproduce(workspace)
    return workspace


def reproduce(workspace: Workspace) -> None:
    with disable_run_logger():
        stages.run_stage.fn(workspace, "split", workspace.root.parent / "logs")


def prefixes(text: bytes) -> list[bytes]:
    """The content that a writer may leave if it is killed at or within a line."""
    ends = [place + 1 for place, byte in enumerate(text) if byte == ord("\n")][:-1]
    return [b"", *(text[:end] for end in ends), *(text[: end - 3] for end in ends)]


def hashes(lock: bytes) -> dict[str, str]:
    """The hashes of what a stage read and wrote, without sizes."""
    stage = yaml.safe_load(lock)["stages"]["split"]
    return {entry["path"]: entry["md5"] for entry in (*stage["deps"], *stage["outs"])}


def test_who_was_at_a_file_is_forgotten_with_the_process(ingested: Workspace) -> None:
    path = ingested.root / RUNNING
    held = {str(ingested.root / "data/split"): {"pid": os.getppid(), "cmd": "of before"}}
    for content in ("", yaml.safe_dump({"read": {}, "write": held}, default_flow_style=True)):
        path.write_text(content.replace("'", '"'))
        with locked(ingested.root):
            assert not path.exists()
            reproduce(ingested)


def test_it_is_kept_while_the_same_process_works_there(ingested: Workspace) -> None:
    path = ingested.root / RUNNING
    with locked(ingested.root):
        path.write_text("{}")
        with locked(ingested.root):
            assert path.exists()


def test_a_lock_file_of_any_length_is_read_or_made_anew(ingested: Workspace) -> None:
    path = ingested.root / LOCK
    whole = path.read_bytes()
    for left in prefixes(whole):
        path.write_bytes(left)
        with locked(ingested.root):
            reproduce(ingested)
        assert hashes(path.read_bytes()) == hashes(whole), left


def test_a_log_whose_version_was_lost_is_versioned_anew(
    engine: sa.Engine, ingested: Workspace
) -> None:
    path = ingested.root / POINTER
    whole, version = path.read_bytes(), ingested.data_version()
    for left in prefixes(whole):
        path.write_bytes(left)
        with locked(ingested.root):
            ingest.begin(engine, ingested)
        assert ingested.data_version() == version, left


def test_what_is_whole_is_left_alone(ingested: Workspace) -> None:
    before = [(ingested.root / name).stat().st_mtime_ns for name in (LOCK, POINTER)]
    with locked(ingested.root):
        after = [(ingested.root / name).stat().st_mtime_ns for name in (LOCK, POINTER)]
    assert after == before
