"""Ingestion: everything once, whatever happens between the steps."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from features.ingest import IngestError, store_events
from features.schema import DAY, HOUR
from flows import ingest
from flows.workspace import Workspace
from serving import catalogue_feed, offsets
from serving.log import FeedbackLog

NOON = 19_800 * DAY + 12 * HOUR


def event(number: int, timestamp: int = NOON) -> dict[str, object]:
    return {
        "event_id": f"e{number}",
        "user_id": f"u{number % 3}",
        "item_id": f"i{number}",
        "event_type": "view",
        "timestamp": timestamp,
        "received_at": timestamp,
    }


def stored(workspace: Workspace) -> list[str]:
    files = sorted(workspace.log.glob("events/dt=*/part-*.parquet"))
    return sorted(i for file in files for i in pq.read_table(file)["event_id"].to_pylist())


def run(engine: sa.Engine, workspace: Workspace) -> ingest.Ingested:
    return ingest.ingest_feedback.fn(engine, workspace, None)


def test_feedback_is_stored_by_day_and_versioned(engine: sa.Engine, workspace: Workspace) -> None:
    log = FeedbackLog(engine)
    log.append(events=[event(1), event(2, NOON + DAY)])
    catalogue_feed.upsert(engine, [{"item_id": "i1", "title": "One", "received_at": NOON}])
    first = run(engine, workspace)
    assert (first.events, first.items) == (2, 1)
    assert stored(workspace) == ["e1", "e2"]
    assert len(list(workspace.log.glob("events/dt=*"))) == 2
    log.append(events=[event(3, NOON + DAY)])
    second = run(engine, workspace)
    assert second.events == 1
    assert second.version != first.version
    assert run(engine, workspace).version == second.version


def test_a_run_killed_before_it_advanced_is_repeated_without_a_trace(
    engine: sa.Engine, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FeedbackLog(engine)
    log.append(events=[event(1), event(2)])

    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(offsets, "advance", die)
        with pytest.raises(Killed):
            run(engine, workspace)
    assert stored(workspace) == ["e1", "e2"]
    log.append(events=[event(3)])  # the range is cut differently now
    assert run(engine, workspace).events == 3
    assert stored(workspace) == ["e1", "e2", "e3"]
    assert len(list(workspace.log.glob("events/dt=*/*"))) == 1


def test_a_file_is_added_once_however_often_it_is_brought(
    engine: sa.Engine, workspace: Workspace, tmp_path: Path
) -> None:
    source = tmp_path / "events.csv"
    source.write_text(
        "user_id,item_id,event_type,timestamp\n"
        "u1,i1,view,2024-01-01T10:00:00Z\n"
        "u1,i2,dance,2024-01-01T11:00:00Z\n"
    )
    first = ingest.ingest_source(engine, workspace, source, NOON + 1000 * DAY)
    assert (first.events, first.quarantined) == (1, 1)
    again = ingest.ingest_source(engine, workspace, source, NOON + 1000 * DAY)
    assert (again.events, again.quarantined) == (0, 2)
    assert ingest.quarantine_share(workspace) == pytest.approx(3 / 4)
    FeedbackLog(engine).append(events=[event(1)])
    assert run(engine, workspace).events == 1
    assert len(stored(workspace)) == 2


def test_a_source_that_is_not_there_is_one_clear_line(
    engine: sa.Engine, workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(IngestError, match="no such file"):
        ingest.ingest_source(engine, workspace, tmp_path / "absent.csv", NOON)


def test_a_file_brought_after_a_history_leaves_the_history_alone(
    engine: sa.Engine, workspace: Workspace, tmp_path: Path
) -> None:
    names = ("event_id", "user_id", "item_id", "event_type", "timestamp", "received_at")
    rows = [event(number) for number in range(5)]
    history = tmp_path / "history"
    store_events(
        pa.table({name: [row[name] for row in rows] for name in names}), history, 0, NOON + DAY
    )
    ingest.ingest_log(engine, workspace, history)
    assert stored(workspace) == [f"e{number}" for number in range(5)]
    source = tmp_path / "more.csv"
    source.write_text(
        "event_id,user_id,item_id,event_type,timestamp\n"
        f"e4,u1,i4,view,{NOON}\n"
        f"e9,u1,i9,view,{NOON + DAY}\n"
    )
    added = ingest.ingest_source(engine, workspace, source, NOON + 2 * DAY)
    assert (added.events, added.quarantined) == (1, 1)
    assert stored(workspace) == [*(f"e{number}" for number in range(5)), "e9"]
