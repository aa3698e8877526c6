"""Ingestion stores everything once, whatever happens between its steps."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from features.event_log import open_log
from features.ingest import IngestError, store_events
from features.ingest.parquet import Pieces
from features.schema import DAY, HOUR
from features.splits.vocabulary import index_ids
from flows import ingest
from flows.workspace import Workspace
from serving import catalogue_feed, offsets
from serving.database import connect
from serving.feedback_log import FeedbackLog

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
    run(engine, workspace)  # from now on the log is this database's
    log = FeedbackLog(engine)
    log.append(events=[event(1), event(2)])

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


class Killed(BaseException):
    pass


def test_what_a_killed_source_left_is_gone_also_when_there_is_no_news(
    engine: sa.Engine, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FeedbackLog(engine).append(events=[event(1)])
    before = run(engine, workspace).version
    source = tmp_path / "big.csv"
    source.write_text(f"user_id,item_id,event_type,timestamp\nu1,i9,view,{NOON - 9 * DAY}\n")

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(offsets, "advance", die)
        with pytest.raises(Killed):
            ingest.ingest_source(engine, workspace, source, NOON)
    assert len(stored(workspace)) == 2
    assert workspace.data_version() != before
    assert run(engine, workspace).version == before
    assert stored(workspace) == ["e1"]


def test_a_source_that_is_killed_between_two_of_its_days_is_stored_whole_by_the_next_run(
    engine: sa.Engine, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(engine, workspace)
    source = tmp_path / "events.csv"
    rows = "".join(f"u1,i{day},view,{NOON - day * DAY}\n" for day in range(4))
    source.write_text(f"user_id,item_id,event_type,timestamp\n{rows}")
    flush, days = Pieces.flush, iter(range(1, 4))

    def die_at_the_third(pieces: Pieces) -> None:
        if next(days) == 3:
            raise Killed
        flush(pieces)

    with monkeypatch.context() as patch:
        patch.setattr(Pieces, "flush", die_at_the_third)
        with pytest.raises(Killed):
            ingest.ingest_source(engine, workspace, source, NOON)
    assert len(stored(workspace)) == 2
    again = ingest.ingest_source(engine, workspace, source, NOON)
    assert (again.events, again.quarantined) == (4, 0)
    assert len(stored(workspace)) == 4


def test_a_log_that_another_database_has_numbered_is_left_alone(
    engine: sa.Engine, workspace: Workspace, tmp_path: Path
) -> None:
    FeedbackLog(engine).append(events=[event(1)])
    run(engine, workspace)
    other = connect(f"sqlite:///{tmp_path / 'other.db'}")
    FeedbackLog(other).append(events=[event(2)])
    with pytest.raises(IngestError, match="filled by another operations database"):
        run(other, workspace)
    other.dispose()
    assert stored(workspace) == ["e1"]


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
    assert (again.duplicates, again.reasons["unknown event_type 'dance'"]) == (1, 1)
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


def order(workspace: Workspace) -> list[str]:
    """Item ids in the order of the catalogue's index."""
    connection = open_log(workspace.log)
    index_ids(connection)
    rows = connection.execute("SELECT item_id FROM item_index ORDER BY item").fetchall()
    return [item_id for (item_id,) in rows]


def test_whatever_comes_later_is_appended_to_the_catalogue(
    engine: sa.Engine, workspace: Workspace, tmp_path: Path
) -> None:
    """A new item after events, on the same day; and an old file after feedback."""
    FeedbackLog(engine).append(events=[event(number) for number in range(5, 8)])
    run(engine, workspace)
    known = order(workspace)
    assert known == ["i5", "i6", "i7"]
    catalogue_feed.upsert(engine, [{"item_id": "a", "title": "New", "received_at": NOON}])
    run(engine, workspace)
    assert order(workspace) == [*known, "a"]
    backfill = tmp_path / "old.csv"
    backfill.write_text(f"user_id,item_id,event_type,timestamp\nu1,b,view,{NOON - 900 * DAY}\n")
    ingest.ingest_source(engine, workspace, backfill, NOON)
    FeedbackLog(engine).append(events=[event(1)])
    run(engine, workspace)
    assert order(workspace) == [*known, "a", "b", "i1"]
    assert len(stored(workspace)) == 5
