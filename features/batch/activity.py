"""Write the Parquet files behind the batch views: daily activity and histories."""

from pathlib import Path
from typing import Final

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.arrays import Int64s
from base.quiet import quiet
from features.batch.aggregates import item_activity, user_activity
from features.batch.snapshots import Snapshots
from features.event_log import connect
from features.ragged import offsets_of, spans
from features.schema import DAY, ITEM_FEATURES, TIMESTAMP, USER_FEATURES

HISTORY: Final = pa.schema(
    [
        ("user_id", pa.string()),
        ("items", pa.list_(pa.string())),
        ("event_types", pa.list_(pa.int64())),
        ("timestamps", pa.list_(pa.int64())),
        ("hidden", pa.list_(pa.string())),
        ("event_timestamp", TIMESTAMP),
        ("created_timestamp", TIMESTAMP),
    ]
)

#: Rows per row group, and rows held in memory at a time.
ROWS: Final = 100_000

#: Users per row group of histories.
USERS: Final = 20_000


@quiet()
def write_activity(split: Path, out: Path, snapshots: Snapshots) -> None:
    """Write `user_activity.parquet` and `item_activity.parquet` to `out`.

    They hold a row for each day on which a value changes.
    """
    engine = ibis.duckdb.from_connection(connect())
    tables = {
        name: engine.read_parquet(split / f"{name}.parquet", table_name=name)
        for name in ("events", "impressions", "prices")
    }
    users, items = (_ids(engine, split, name) for name in ("user", "item"))
    events, impressions, prices = tables.values()
    first, last = snapshots.first // DAY, snapshots.last // DAY
    users_by_day = user_activity(events, impressions, prices, items, first, last)
    items_by_day = item_activity(events, impressions, first, last)
    lists = ("impressed_items", "impressed_counts")
    for name, table, ids, columns in (
        ("user", users_by_day, users, (*USER_FEATURES, *lists)),
        ("item", items_by_day, items, ITEM_FEATURES),
    ):
        rows = table.join(ids, name).order_by("day", name).select(f"{name}_id", "day", *columns)
        with engine.to_pyarrow_batches(rows, chunk_size=ROWS) as batches:
            schema = _stamped(pa.Table.from_batches([], batches.schema)).schema
            with pq.ParquetWriter(out / f"{name}_activity.parquet", schema) as file:
                for batch in batches:
                    file.write_table(_stamped(pa.Table.from_batches([batch])).cast(schema))


def write_history(split: Path, out: Path, snapshot: int, length: int) -> None:
    """Write `user_history.parquet`: for every user as of `snapshot` (µs), the newest `length`
    positive events and all hidden items, both oldest first."""
    user_ids = pq.read_table(split / "users.parquet")["user_id"].combine_chunks()
    item_ids = pq.read_table(split / "items.parquet", columns=["item_id"])["item_id"]
    item_ids = item_ids.combine_chunks()
    count = len(user_ids)
    events, user = _known(split / "events.parquet", snapshot)
    lengths = np.bincount(user, minlength=count)
    kept = np.minimum(lengths, length)
    newest = events.take(pa.array(spans(offsets_of(lengths)[1:] - kept, kept)))
    hides, who = _known(split / "hidden.parquet", snapshot)
    # Hidden items are sorted by item id (as text) and listed once.
    place = np.argsort(pc.sort_indices(item_ids).to_numpy())[hides["item"].to_numpy()]
    _, first = np.unique(who * max(len(item_ids), 1) + place, return_index=True)
    hidden, hidden_lengths = hides.take(pa.array(first)), np.bincount(who[first], minlength=count)
    offsets, hidden_offsets = offsets_of(kept), offsets_of(hidden_lengths)
    moment = pa.scalar(snapshot, pa.int64()).cast(TIMESTAMP)
    with pq.ParquetWriter(out / "user_history.parquet", HISTORY, compression="zstd") as file:
        for start in range(0, count, USERS):
            part = slice(start, min(start + USERS, count))

            def lists(
                table: pa.Table, name: str, offsets: Int64s, kind: pa.DataType, part: slice = part
            ) -> pa.ListArray:
                own = offsets[part.start : part.stop + 1]
                values = table[name].slice(own[0], own[-1] - own[0]).combine_chunks()
                values = item_ids.take(values) if kind == pa.string() else values.cast(kind)
                return pa.ListArray.from_arrays(pa.array(own - own[0], pa.int32()), values)

            columns = [
                user_ids.slice(part.start, part.stop - part.start),
                lists(newest, "item", offsets, pa.string()),
                lists(newest, "event_type", offsets, pa.int64()),
                lists(newest, "timestamp", offsets, pa.int64()),
                lists(hidden, "item", hidden_offsets, pa.string()),
                *[pa.repeat(moment, part.stop - part.start)] * 2,
            ]
            known = (kept + hidden_lengths)[part] > 0
            file.write_table(pa.table(columns, schema=HISTORY).filter(pa.array(known)))


def _known(path: Path, snapshot: int) -> tuple[pa.Table, Int64s]:
    """Rows of `path` that had happened and were known before `snapshot`, with their users."""
    moment = pa.scalar(snapshot, pa.int64())
    before = (pc.field("timestamp") < moment) & (pc.field("received_at") < moment)
    names = [*pq.read_schema(path).names]
    wanted = [n for n in ("user", "item", "event_type", "timestamp") if n in names]
    table = pq.read_table(path, columns=wanted, filters=before)
    return table, table["user"].to_numpy().astype(np.int64)


def _ids(engine: ibis.BaseBackend, split: Path, name: str) -> ir.Table:
    path = split / f"{name}s.parquet"
    return engine.sql(
        f"SELECT {name}_id, file_row_number::INTEGER AS {name} "
        f"FROM read_parquet('{path}', file_row_number = true)"
    )


def _stamped(table: pa.Table) -> pa.Table:
    """Replace `day` by Feast's two time columns. A snapshot counts as known at its own time."""
    moment = pc.multiply(table["day"], DAY).cast(TIMESTAMP)
    return (
        table.drop_columns("day")
        .append_column("event_timestamp", moment)
        .append_column("created_timestamp", moment)
    )
