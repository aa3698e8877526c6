"""Store validated rows as day-partitioned Parquet, written under a temporary name and then renamed.

Storing a range again writes the same bytes, because duplicates are searched only in earlier ranges.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads

from features.event_log import connect
from features.ingest.parquet import Pieces, whole_file
from features.ingest.spool import Rows, register
from features.ingest.validate import (
    QUARANTINE,
    Validated,
    validate_events,
    validate_items,
    validate_users,
)
from features.schema import DAY, ITEM, REQUEST, USER

_PART = re.compile(r"part-(\d{12})-\d{12}\.parquet")

#: With more partitions than this, the files are not synced one by one.
BULK = 64


@dataclass(frozen=True)
class Report:
    """What happened to the rows of a range. Always, rows = stored + quarantined.

    partitions: the files written, relative to the folder; reasons: number of quarantined rows by
    reason.
    """

    rows: int
    stored: int
    quarantined: int
    partitions: tuple[str, ...]
    reasons: dict[str, int] = field(default_factory=dict)


def store_events(table: Rows, folder: Path, first_offset: int, now: int) -> Report:
    """Validate events (see `validate_events`) and add them to the log in `folder`.

    The table is the range [first_offset, first_offset + rows). An event goes to the partition of
    the day on which it was received. Events that earlier ranges hold are not stored again.
    """
    known = _earlier(folder, "events", first_offset)
    validated = validate_events(table, now, first_offset, known)
    return _store(validated, folder, "events", first_offset, table.num_rows)


def store_items(
    table: Rows, folder: Path, first_offset: int, now: int, dated: bool = True
) -> Report:
    """Validate item versions (see `validate_items`) and add them to the log in `folder`.

    dated: whether the source says when each version became known. If not, items new to the log
    count as known since the log's first event, and changed descriptions of other items as known
    since `now`.
    """
    earlier = known_versions(folder, first_offset, table) if table.num_rows else None
    since = None if dated else first_event(folder, now)
    validated = validate_items(table, now, first_offset, earlier, since)
    return _store(validated, folder, "items", first_offset, table.num_rows)


def store_users(table: Rows, folder: Path, first_offset: int = 0) -> Report:
    """Validate users (see `validate_users`) and add them to the log in `folder`."""
    validated = validate_users(table, first_offset)
    partitions = []
    if validated.rows:
        partitions = [f"users/{_name(first_offset, table.num_rows)}"]
        with whole_file(folder / partitions[0], USER) as file:
            for rows in validated.usable():
                file.add(rows)
    return _report(validated, folder, "users", first_offset, table.num_rows, partitions)


def store_requests(
    requests: Iterable[pa.Table], folder: Path, first_offset: int, rows: int
) -> Report:
    """Add served requests (`schema.REQUEST`) of the range [first_offset, first_offset + rows) to
    the log in `folder`, by day of the request.

    Storing a range again replaces its files.
    """
    files: dict[int, tuple[str, Pieces]] = {}
    stored = 0
    with ExitStack() as open_files:
        for table in requests:
            stored += table.num_rows
            for day, part in _by_days(table, "timestamp"):
                if day not in files:
                    name = f"requests/dt={np.datetime64(day, 'D')}/{_name(first_offset, rows)}"
                    file = open_files.enter_context(whole_file(folder / name, REQUEST))
                    files[day] = name, file
                files[day][1].add(part)
    return Report(rows, stored, 0, tuple(name for name, _ in files.values()))


def known_versions(folder: Path, first_offset: int, items: Rows) -> pa.Table:
    """Versions of `items` that ranges before `first_offset` have stored."""
    files = _earlier(folder, "items", first_offset)
    if not files or "item_id" not in items.column_names:
        return ITEM.empty_table()
    connection = connect()
    register(connection, "news", items)
    connection.register("stored", pads.dataset(files, schema=ITEM))
    table: pa.Table = connection.execute(
        f"SELECT {', '.join(ITEM.names)} FROM stored "
        "WHERE item_id IN (SELECT trim(item_id::VARCHAR) FROM news)"
    ).to_arrow_table()
    return table.cast(ITEM)


def first_event(folder: Path, now: int) -> int:
    """Time of the oldest event in the log, µs. `now` if the log is empty."""
    files = [str(path) for path in sorted(folder.glob("events/dt=*/part-*.parquet"))]
    if not files:
        return now
    oldest = duckdb.read_parquet(files).aggregate("min(epoch_us(timestamp))").fetchall()[0][0]
    return now if oldest is None else int(oldest)


def _earlier(folder: Path, kind: str, first_offset: int) -> list[str]:
    return [
        str(path)
        for path in sorted(folder.glob(f"{kind}/dt=*/part-*.parquet"))
        if (first := part_start(path)) is not None and first < first_offset
    ]


def _store(validated: Validated, folder: Path, kind: str, first_offset: int, rows: int) -> Report:
    name = _name(first_offset, rows)
    days = validated.days()
    partitions = {day: f"{kind}/dt={np.datetime64(day, 'D')}/{name}" for day in days}
    # A bulk import need not survive a power cut: it has not reported success yet and can be run
    # again.
    durable = len(days) <= BULK
    for day, tables in groupby(_by_day(validated), key=itemgetter(0)):
        with whole_file(folder / partitions[day], validated.schema, durable) as file:
            for _, table in tables:
                file.add(table)
    return _report(validated, folder, kind, first_offset, rows, list(partitions.values()))


def _by_day(validated: Validated) -> Iterator[tuple[int, pa.Table]]:
    """Good rows in batches of one day of arrival each, in order."""
    for rows in validated.usable(first=f"received_at // {DAY}"):
        yield from _by_days(rows, "received_at")


def _by_days(rows: pa.Table, column: str) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each day of `column`, in their order, days ascending."""
    days = rows[column].cast(pa.int64()).to_numpy() // DAY
    for day in np.unique(days):
        yield int(day), rows.filter(pa.array(days == day))


def _report(
    validated: Validated,
    folder: Path,
    kind: str,
    first_offset: int,
    rows: int,
    partitions: list[str],
) -> Report:
    """Write the bad rows of a range to the quarantine and report on the range."""
    if validated.reasons:
        path = folder / "quarantine" / kind / _name(first_offset, rows)
        with whole_file(path, QUARANTINE) as file:
            for refused in validated.refused():
                file.add(refused)
    return Report(
        rows=rows,
        stored=validated.rows,
        quarantined=sum(validated.reasons.values()),
        partitions=tuple(partitions),
        reasons=validated.reasons,
    )


def part_start(path: Path) -> int | None:
    """The number of the first row in a part of the log, by the part's name.

    Returns None for any other file.
    """
    match = _PART.fullmatch(path.name)
    return int(match[1]) if match else None


def _name(first_offset: int, rows: int) -> str:
    return f"part-{first_offset:012d}-{first_offset + max(rows, 1) - 1:012d}.parquet"
