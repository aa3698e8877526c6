"""Served requests enter the versioned log with their events, each once, whatever is killed."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from features.event_log import open_log
from features.schema import REQUEST
from flows import ingest
from flows.workspace import Workspace
from serving import catalogue_feed, offsets
from serving.feedback_log import FeedbackLog, Slate
from tests.serving.test_feedback_log import T0, event, slate


class Killed(BaseException):
    pass


def logged(workspace: Workspace) -> list[dict[str, object]]:
    files = sorted(workspace.log.glob("requests/dt=*/part-*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def ids(workspace: Workspace) -> list[object]:
    return [row["request_id"] for row in logged(workspace)]


def run(engine: sa.Engine, workspace: Workspace) -> ingest.Ingested:
    return ingest.ingest_feedback.fn(engine, workspace, None)


def continued(first: Slate, request_id: str, *items: str) -> Slate:
    """A longer slate of the same draw: its first slots were shown by `first`."""
    made = slate(request_id, *items)
    before = len(first.slots)
    slots = [
        {**slot, "origin": first.request_id if place < before else None}
        for place, slot in enumerate(made.slots)
    ]
    return replace(made, slots=slots, impressions=made.impressions[before:])


def test_requests_are_stored_by_day_in_order_with_their_slates(
    engine: sa.Engine, workspace: Workspace
) -> None:
    log = FeedbackLog(engine)
    five = slate("b", "i1", "i2")
    log.append([five, continued(five, "a", "i1", "i2", "i3")])
    log.append([slate("c")], [event("e1")])  # nothing could be shown
    run(engine, workspace)
    (folder,) = workspace.log.glob("requests/dt=*")
    assert folder.name == next(workspace.log.glob("events/dt=*")).name
    first, second = logged(workspace)
    assert (first["request_id"], first["items"]) == ("b", ["i1", "i2"])
    assert first["origins"] == [None, None]
    assert first["propensities"] == [slot["propensity"] for slot in five.slots]
    assert first["context"] == five.request["context"]
    assert first["timestamp"].timestamp() * 1e6 == five.request["timestamp"]
    assert (second["request_id"], second["origins"]) == ("a", ["b", "b", None])
    assert pq.read_schema(next(folder.iterdir())).equals(REQUEST)


def test_each_request_is_stored_once_however_the_outbox_is_cut(
    engine: sa.Engine, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FeedbackLog(engine)
    for number in range(5):
        log.append([slate(f"r{number}", "i1", "i2", "i3")], [event(f"e{number}")])
    monkeypatch.setattr(ingest, "BATCH", 2)  # no slate fits into one range
    run(engine, workspace)
    assert ids(workspace) == [f"r{number}" for number in range(5)]
    assert len(list(workspace.log.glob("requests/dt=*/*"))) == 5
    version = run(engine, workspace).version
    assert run(engine, workspace).version == version


def test_a_run_killed_before_it_advanced_stores_the_same_bytes_again(
    engine: sa.Engine, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, workspace)
    log = FeedbackLog(engine)
    log.append([slate("r1", "i1"), slate("r2", "i2")])

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(offsets, "advance", die)
        with pytest.raises(Killed):
            run(engine, workspace)
    (written,) = workspace.log.glob("requests/dt=*/part-*")
    before = written.read_bytes()
    run(engine, workspace)
    (written,) = workspace.log.glob("requests/dt=*/part-*")
    assert written.read_bytes() == before
    assert ids(workspace) == ["r1", "r2"]


def test_what_a_killed_run_had_half_written_is_cut_anew(
    engine: sa.Engine, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, workspace)
    log = FeedbackLog(engine)
    log.append([slate("r1", "i1")])
    with monkeypatch.context() as patch:

        def die(*_: object) -> ingest.Report:
            raise Killed

        patch.setattr(ingest, "store_requests", die)
        with pytest.raises(Killed):
            run(engine, workspace)
    assert not logged(workspace)
    log.append([slate("r2", "i2")])
    run(engine, workspace)
    assert ids(workspace) == ["r1", "r2"]
    assert open_log(workspace.log).execute("SELECT count(*) FROM raw_events").fetchone() == (2,)


def test_an_item_that_came_while_events_were_read_is_in_the_log_as_well(
    engine: sa.Engine, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    FeedbackLog(engine).append([slate("r1", "i1")])
    read = FeedbackLog.read

    def meanwhile(log: FeedbackLog, after: int, limit: int) -> pa.Table:
        catalogue_feed.upsert(engine, [{"item_id": "late", "title": "L", "received_at": T0}])
        return read(log, after, limit)

    monkeypatch.setattr(FeedbackLog, "read", meanwhile)
    assert run(engine, workspace).items == 1


def test_a_ready_made_log_may_hold_requests(
    engine: sa.Engine, workspace: Workspace, tmp_path: Path
) -> None:
    FeedbackLog(engine).append([slate("r1", "i1")])
    run(engine, workspace)
    history = workspace.log.rename(tmp_path / "history")
    offsets.advance(engine, {ingest.LOG_ROWS: 0})
    ingest.ingest_log(engine, workspace, history)
    assert ids(workspace) == ["r1"]
