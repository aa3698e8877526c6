"""Shares, for the data gate, over what came into the log since the data of the last retrain.

A retrain stores how far the log went (`learned`), and the shares count the rows after that. So they
depend only on stored numbers, not on the time of the check, and their cost grows with the new rows,
not with the log. (Only if rows were refused, earlier refusals are read too.) A retrain of a log
that did not grow checks the same rows again, so a release that was held stays held.

Checks that compare new rows with earlier ones compare with those of the last retrain that passed
them (`reference_row`). So a fault that lasts does not become what is normal at the next retrain.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow.parquet as pq
import sqlalchemy as sa

from features.event_log import connect, literals
from features.ingest import DUPLICATE, IngestError
from features.ingest.log_store import part_start
from features.schema import DAY, POSITIVE, EventType
from flows.consumers import EVENTS, LEARNED, LEARNED_BEFORE, LOG_ROWS, TRUSTED
from serving import offsets
from serving.feedback_log import FeedbackLog

#: Days before the new events with which a quiet day is compared, and how many events a quiet one of
#: them must have had.
REFERENCE_DAYS: Final = 28
LEAST_EVENTS: Final = 100
#: The checks that compare new rows with earlier ones.
COMPARING: Final = ("data.quietest_day", "data.columns")


def stored_events(log: Path) -> int:
    """The number of events in the log."""
    return sum(pq.read_metadata(path).num_rows for path in log.glob("events/dt=*/part-*.parquet"))


def require_events(engine: sa.Engine, log: Path) -> None:
    """Raise IngestError if there is nothing to learn from: no event in the log, none waiting in
    the outbox."""
    if any(log.glob("events/dt=*/part-*.parquet")):
        return
    if FeedbackLog(engine).last_offset() > offsets.read(engine, EVENTS):
        return
    # Rows other than events: a catalogue, or a file whose rows were all refused.
    what = "no event" if offsets.read(engine, LOG_ROWS) else "nothing"
    raise IngestError(
        f"{what} has been ingested yet: add events with `rondo ingest FILE`, or serve "
        "(`make serve`) and send feedback"
    )


def shares(engine: sa.Engine, log: Path, join_days: int) -> dict[str, float]:
    """`quarantine_share`, `unjoined_share`, `early_share` and `quietest_day` of the events after
    `first_row`.

    join_days: how many days after a slate an outcome can arrive and still be joined to it.
    """
    first = first_row(engine)
    new = parts_since(log / "events", first)
    unjoined, early = _answers(log / "events", new, join_days)
    return {
        "quarantine_share": _quarantined(new, log / "quarantine" / "events", first),
        "unjoined_share": unjoined,
        "early_share": early,
        "quietest_day": _quietest_day(log / "events", new, reference_row(engine)),
    }


def first_row(engine: sa.Engine) -> int:
    """The number of the first log row not seen by the last finished retrain whose data differed
    from the present data."""
    learned = offsets.read(engine, LEARNED)
    grown = offsets.read(engine, LOG_ROWS) > learned
    return learned if grown else offsets.read(engine, LEARNED_BEFORE)


def reference_row(engine: sa.Engine) -> int:
    """New rows are compared with the rows before this number.

    These were like the rows before them, as a retrain found that looked at them.
    """
    first, trusted = first_row(engine), offsets.find(engine, TRUSTED)
    return first if trusted is None else min(first, trusted)


def learned(engine: sa.Engine, alike: bool) -> Mapping[str, int]:
    """The marks that a finished retrain stores: how much of the log it has learned from.

    alike: whether the checks that compare new rows with earlier ones passed.
    """
    before, now = offsets.read(engine, LEARNED), offsets.read(engine, LOG_ROWS)
    marks = {LEARNED_BEFORE: before, LEARNED: now} if now > before else {}
    # Where no mark is stored yet, a failed check notes what it was compared with.
    return marks | {TRUSTED: now if alike else reference_row(engine)}


def _quarantined(new: list[Path], quarantine: Path, first: int) -> float:
    """Share of refused rows among the new rows."""
    stored = sum(pq.read_metadata(path).num_rows for path in new)
    faults = _faults(quarantine, first)
    return faults / (stored + faults) if stored + faults else 0.0


def _faults(quarantine: Path, first: int) -> int:
    """How many rows from number `first` on were refused for the first time.

    Rows that are stored already do not count, nor do refused rows that an export repeats.
    """
    bad = parts_since(quarantine, first)
    if not bad:
        return 0
    connection = connect()
    connection.execute(
        f"""
        CREATE TABLE refused AS
        SELECT raw, max(rows) AS rows FROM (
            SELECT raw, count(*) AS rows FROM read_parquet({names_of(bad)}, filename = true)
            WHERE reason <> '{DUPLICATE}' GROUP BY raw, filename
        ) GROUP BY raw
        """
    )
    (found,) = _row(connection, "SELECT count(*) FROM refused")
    if found and (before := sorted({*parts_since(quarantine, 0)} - {*bad})):
        connection.execute(
            f"""
            DELETE FROM refused WHERE raw IN (
                SELECT raw FROM read_parquet({names_of(before)}) WHERE reason <> '{DUPLICATE}')
            """
        )
    (faults,) = _row(connection, "SELECT coalesce(sum(rows), 0)::BIGINT FROM refused")
    return faults


def _quietest_day(events: Path, new: list[Path], reference: int) -> float:
    """Events received on the quietest day since the last retrain, as a share of those on a quiet
    one (the lower quartile) of the REFERENCE_DAYS before row number `reference`.

    Only days between the last one before the retrain and the newest count, and days before the last
    one of the reference, since these were not whole. Without such a day the newest whole one after
    the reference counts again, so that the same fault is told until a day shows that it has ended.
    1 if there are too few days, or too few events, to tell.
    """
    every, since = set(events.glob("dt=*/part-*.parquet")), parts_since(events, reference)
    known, trusted = every - set(new), every - set(since)
    if not since or not trusted:
        return 1.0
    first, met, last = min(map(_day, trusted)), max(map(_day, trusted)), max(map(_day, since))
    between = range(max(map(_day, known)) + 1, last) or range(max(met + 1, last - 1), last)
    before = range(max(met - REFERENCE_DAYS, first + 1), met)
    if not between or not before:
        return 1.0
    after = _received(since, between)
    earlier = float(np.quantile(_received(trusted, before), 0.25))
    return min(after) / earlier if earlier >= LEAST_EVENTS else 1.0


def _answers(events: Path, new: list[Path], join_days: int) -> tuple[float, float]:
    """Of the slates answered by new events: the share whose impressions are not in the log, and the
    share answered before they were shown, by the clock of whoever answered.

    A slate is answered by an event of a positive type. A rating of any height is an answer.
    """
    if not new:
        return 0.0, 0.0
    connection = connect()
    positive = literals(list(POSITIVE))
    connection.execute(
        f"""
        CREATE TABLE answered AS
        SELECT request_id, min("timestamp") AS answered_at,
               min(epoch_us("timestamp")) // {DAY} AS first_day,
               max(epoch_us("timestamp")) // {DAY} AS last_day
        FROM read_parquet({names_of(new)}, hive_partitioning = false)
        WHERE request_id IS NOT NULL AND event_type IN ({positive}) GROUP BY request_id
        """
    )
    (total,) = _row(connection, "SELECT count(*) FROM answered")
    if not total:
        return 0.0, 0.0
    early = _join(connection, new)
    early += _join(connection, _older(connection, events, set(new), join_days))
    (left,) = _row(connection, "SELECT count(*) FROM answered")
    return left / total, early / total


def _join(connection: duckdb.DuckDBPyConnection, parts: list[Path]) -> int:
    """Remove from `answered` the requests that have an impression in `parts`, and return how many
    of them were answered before it."""
    if not parts:
        return 0
    connection.execute(
        f"""
        CREATE OR REPLACE TABLE shown AS
        SELECT request_id, min("timestamp") AS shown_at
        FROM read_parquet({names_of(parts)}, hive_partitioning = false)
        WHERE event_type = '{EventType.IMPRESSION}' AND request_id IN (
            SELECT request_id FROM answered)
        GROUP BY request_id
        """
    )
    (early,) = _row(
        connection,
        "SELECT count(*) FROM answered JOIN shown USING (request_id) WHERE answered_at < shown_at",
    )
    connection.execute("DELETE FROM answered WHERE request_id IN (SELECT request_id FROM shown)")
    return early


def _older(
    connection: duckdb.DuckDBPyConnection, events: Path, new: set[Path], join_days: int
) -> list[Path]:
    """Parts of the days on which the remaining slates of `answered` may have been shown."""
    days = connection.execute(
        f"""
        SELECT DISTINCT strftime(make_timestamp(day * {DAY}), 'dt=%Y-%m-%d') FROM (
            SELECT unnest(range(first_day - {join_days}, last_day + 2)) AS day FROM answered)
        """
    ).fetchall()
    found = (path for (day,) in days for path in (events / day).glob("part-*.parquet"))
    return sorted(path for path in found if path not in new)


def parts_since(folder: Path, first: int) -> list[Path]:
    """Files below `folder` of ranges that begin at number `first` or later."""
    found = ((path, part_start(path)) for path in folder.rglob("part-*.parquet"))
    return sorted(path for path, number in found if number is not None and number >= first)


def _received(parts: Iterable[Path], days: range) -> list[int]:
    """The number of rows of `parts` on each of `days`."""
    counts = Counter[int]()
    for path in parts:
        if (day := _day(path)) in days:
            counts[day] += pq.read_metadata(path).num_rows
    return [counts[day] for day in days]


def _day(part: Path) -> int:
    """The day of arrival of a part, as a number since 1970."""
    return int(np.datetime64(part.parent.name.removeprefix("dt="), "D").astype(np.int64))


def names_of(paths: Iterable[Path]) -> str:
    return f"[{literals([str(path) for path in paths])}]"


def _row(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[int, ...]:
    row: tuple[int, ...] = connection.execute(query).fetchall()[0]
    return row
