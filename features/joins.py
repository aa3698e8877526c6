"""Point-in-time joins: Feast up to about a million rows, our own ASOF JOIN beyond."""

import tempfile
from pathlib import Path

import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from features.asof import asof_join
from features.quiet import quiet
from features.schema import ITEM_FEATURES, TIMESTAMP, USER_FEATURES
from features.store import open_store

#: Above this many entity rows Feast's DuckDB store takes too much memory.
FEAST_ROWS = 1_000_000

QUERY_USER_COLUMNS = (*USER_FEATURES, "impressed_items", "impressed_counts")


def point_in_time(
    entities: pa.Table,
    features: Path,
    view: str,
    names: tuple[str, ...],
    feast_rows: int = FEAST_ROWS,
) -> pa.Table:
    """`names` of `view` as of each row of `entities` and as known then, in the order of `entities`.

    entities: columns `row` (ascending), `user_id` or `item_id`, and `event_timestamp`; features:
    the folder of the views' Parquet files.
    """
    if entities.num_rows > feast_rows:
        key = f"{view.split('_')[0]}_id"
        return asof_join(entities, features / f"{view}.parquet", key, list(names))
    return feast_join(entities, features, view, names)


@quiet()
def feast_join(entities: pa.Table, features: Path, view: str, names: tuple[str, ...]) -> pa.Table:
    """The same by Feast's `get_historical_features`."""
    if entities.num_rows == 0:
        return asof_join(
            entities, features / f"{view}.parquet", f"{view.split('_')[0]}_id", list(names)
        )
    ibis.set_backend(ibis.duckdb.connect(threads=1))
    with tempfile.TemporaryDirectory() as root:
        store = open_store(Path(root), features)
        job = store.get_historical_features(
            entity_df=entities.to_pandas(),
            features=[f"{view}:{name}" for name in names],
            filter_by_created_timestamp=True,
        )
        table: pa.Table = job.to_arrow()
    return table.sort_by("row").select([*entities.column_names, *names])


def users_at(user_ids: pa.ChunkedArray, timestamps: pa.ChunkedArray, features: Path) -> pa.Table:
    """The user's batch features at each moment (int64, µs): column `query` (the row number), then
    QUERY_USER_COLUMNS."""
    entities = pa.table(
        {
            "row": pa.array(range(len(user_ids)), pa.int64()),
            "user_id": user_ids,
            "event_timestamp": timestamps.cast(TIMESTAMP),
        }
    )
    table = point_in_time(entities, features, "user_activity", QUERY_USER_COLUMNS)
    return table.select(["row", *QUERY_USER_COLUMNS]).rename_columns(["query", *QUERY_USER_COLUMNS])


def query_users(split: Path, features: Path) -> pa.Table:
    """`users_at` for every query of `data/split`, in the order of their numbers."""
    queries = pq.read_table(split / "queries.parquet")
    user_ids = pq.read_table(split / "users.parquet")["user_id"]
    return users_at(user_ids.take(queries["user"]), queries["timestamp"], features)


def item_snapshots(split: Path, features: Path, snapshots: list[int]) -> pa.Table:
    """Every item at every snapshot: columns `snapshot` (µs), `item`, then ITEM_FEATURES; sorted."""
    item_ids = pq.read_table(split / "items.parquet", columns=["item_id"])["item_id"]
    count = len(item_ids)
    moments = pa.array([moment for moment in snapshots for _ in range(count)], pa.int64())
    items = pa.array([*range(count)] * len(snapshots), pa.int32())
    entities = pa.table(
        {
            "row": pa.array(range(len(items)), pa.int64()),
            "item_id": item_ids.take(items),
            "event_timestamp": moments.cast(TIMESTAMP),
        }
    )
    table = point_in_time(entities, features, "item_activity", ITEM_FEATURES)
    return pa.table(
        {"snapshot": moments, "item": items, **{name: table[name] for name in ITEM_FEATURES}}
    )
