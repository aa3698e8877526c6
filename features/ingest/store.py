"""Validated rows as day-partitioned Parquet: written under a temporary name, then renamed.

Storing a range again writes the same bytes: duplicates are looked for in earlier ranges only.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from features.ingest.validate import Validated, validate_events, validate_items, validate_users
from features.log import connect
from features.schema import DAY, ITEM

_RANGE = re.compile(r"part-(\d{12})-(\d{12})\.parquet$")

#: With more partitions than this the files are not synced one by one.
BULK = 64


@dataclass(frozen=True)
class Report:
    """What became of a range: rows = stored + quarantined, always.

    partitions: the files written, relative to the folder; reasons: quarantined rows by reason.
    """

    rows: int
    stored: int
    quarantined: int
    partitions: tuple[str, ...]
    reasons: dict[str, int] = field(default_factory=dict)


def store_events(table: pa.Table, folder: Path, first_offset: int, now: int) -> Report:
    """Validate events (see `validate_events`) and add them to the log in `folder`.

    The table is the range [first_offset, first_offset + rows); an event goes to the partition of
    the day on which it was received. Events of earlier ranges are not stored again.
    """
    known = known_ids(folder, first_offset)
    validated = validate_events(table, now, first_offset, known)
    return _store(validated, folder, "events", first_offset, table.num_rows)


def store_items(
    table: pa.Table, folder: Path, first_offset: int, now: int, dated: bool = True
) -> Report:
    """Validate item versions (see `validate_items`) and add them to the log in `folder`.

    dated: the source says when each version became known. Where it does not, what is new to the
    log was known since the log's first event, and what the log describes otherwise is known `now`.
    """
    earlier = known_versions(folder, first_offset, table) if table.num_rows else None
    since = None if dated else first_event(folder, now)
    validated = validate_items(table, now, first_offset, earlier, since)
    return _store(validated, folder, "items", first_offset, table.num_rows)


def store_users(table: pa.Table, folder: Path, first_offset: int = 0) -> Report:
    """Validate users (see `validate_users`) and add them to the log in `folder`."""
    validated = validate_users(table, first_offset)
    partition = f"users/{_name(first_offset, table.num_rows)}"
    if validated.valid.num_rows:
        write_whole(validated.valid, folder / partition)
    partitions = [partition] if validated.valid.num_rows else []
    return _report(validated, folder, "users", first_offset, table.num_rows, partitions)


def known_ids(folder: Path, first_offset: int) -> pa.ChunkedArray:
    """Event ids that ranges before `first_offset` have stored."""
    files = _earlier(folder, "events", first_offset)
    if not files:
        return pa.chunked_array([], pa.string())
    table: pa.Table = duckdb.read_parquet(files).select("event_id").to_arrow_table()
    return table["event_id"]


def known_versions(folder: Path, first_offset: int, items: pa.Table) -> pa.Table:
    """Versions of `items` that ranges before `first_offset` have stored."""
    files = _earlier(folder, "items", first_offset)
    if not files or "item_id" not in items.column_names:
        return ITEM.empty_table()
    connection = connect()
    connection.register("news", items.select(["item_id"]))
    connection.register("stored", pads.dataset(files, schema=ITEM))
    table: pa.Table = connection.execute(
        f"SELECT {', '.join(ITEM.names)} FROM stored "
        "WHERE item_id IN (SELECT trim(item_id::VARCHAR) FROM news)"
    ).to_arrow_table()
    return table.cast(ITEM)


def first_event(folder: Path, now: int) -> int:
    """The oldest event of the log, µs; `now` in an empty one."""
    files = [str(path) for path in sorted(folder.glob("events/dt=*/part-*.parquet"))]
    if not files:
        return now
    oldest = duckdb.read_parquet(files).aggregate("min(epoch_us(timestamp))").fetchall()[0][0]
    return now if oldest is None else int(oldest)


def _earlier(folder: Path, kind: str, first_offset: int) -> list[str]:
    return [
        str(path)
        for path in sorted(folder.glob(f"{kind}/dt=*/part-*.parquet"))
        if (match := _RANGE.search(path.name)) and int(match.group(1)) < first_offset
    ]


def write_whole(table: pa.Table, path: Path, durable: bool = True) -> None:
    """A Parquet file that is there completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        pq.write_table(table, file, compression="zstd")
        file.flush()
        if durable:
            os.fsync(file.fileno())
    temporary.replace(path)


def _store(validated: Validated, folder: Path, kind: str, first_offset: int, rows: int) -> Report:
    valid, name = validated.valid, _name(first_offset, rows)
    days = valid["received_at"].cast(pa.int64()).to_numpy() // DAY
    order = np.argsort(days, kind="stable")
    by_day = valid.take(pa.array(order)).combine_chunks()
    present, starts, counts = np.unique(days[order], return_index=True, return_counts=True)
    partitions = [f"{kind}/dt={np.datetime64(int(day), 'D')}/{name}" for day in present]
    for partition, start, count in zip(partitions, starts, counts, strict=True):
        # A bulk import that a power cut interrupts is run again; nobody was told that it is in.
        durable = len(partitions) <= BULK
        write_whole(by_day.slice(start, count), folder / partition, durable)
    return _report(validated, folder, kind, first_offset, rows, partitions)


def _report(
    validated: Validated,
    folder: Path,
    kind: str,
    first_offset: int,
    rows: int,
    partitions: list[str],
) -> Report:
    """What became of a range whose good rows are stored; its bad rows go to the quarantine now."""
    quarantine = validated.quarantine
    if quarantine.num_rows:
        name = _name(first_offset, rows)
        write_whole(quarantine, folder / "quarantine" / kind / name)
    return Report(
        rows=rows,
        stored=validated.valid.num_rows,
        quarantined=quarantine.num_rows,
        partitions=tuple(partitions),
        reasons=dict(sorted(Counter(quarantine["reason"].to_pylist()).items())),
    )


def _name(first_offset: int, rows: int) -> str:
    return f"part-{first_offset:012d}-{first_offset + max(rows, 1) - 1:012d}.parquet"
