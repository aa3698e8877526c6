"""Point-in-time joins: by Feast for small tables, by our own ASOF JOIN for larger ones."""

import tempfile
from pathlib import Path

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.arrays import Int64s
from base.quiet import quiet
from features.batch.asof import asof_join
from features.batch.snapshots import Snapshots
from features.event_log import connect
from features.feast_store import open_store
from features.repo.definitions import definitions, served
from features.schema import ITEM_FEATURES, TIMESTAMP, USER_FEATURES

#: Feast pairs each entity row with every earlier row of its key and sorts the pairs. With more
#: pairs than this it takes too much time and memory.
FEAST_PAIRS = 1_000_000

QUERY_USER_COLUMNS = (*USER_FEATURES, "impressed_items", "impressed_counts")


def point_in_time(
    entities: pa.Table,
    features: Path,
    view: str,
    names: tuple[str, ...],
    feast_pairs: int = FEAST_PAIRS,
) -> pa.Table:
    """The features `names` of `view` for each row of `entities`, as known at its time, in that
    order.

    entities: columns `row` (ascending), `user_id` or `item_id`, and `event_timestamp`; features:
    the folder of the views' Parquet files.
    """
    key, source = f"{view.split('_')[0]}_id", features / f"{view}.parquet"
    if entities.num_rows and _pairs(entities[key], source, key) <= feast_pairs:
        return feast_join(entities, features, view, names)
    return asof_join(entities, source, key, list(names))


def _read(entities: pa.Table, features: Path, view: str, columns: tuple[str, ...]) -> pa.Table:
    """The `columns` of `view` at `entities`.

    Columns that the trees' FeatureService lacks are null.
    """
    names = served([definitions(features).trees])[view]
    table = point_in_time(entities, features, view, names)
    for name in columns:
        if name not in names:
            kind = pq.read_schema(features / f"{view}.parquet").field(name).type
            table = table.append_column(name, pa.nulls(table.num_rows, kind))
    return table


def _pairs(asked: pa.ChunkedArray, source: Path, key: str) -> int:
    """The number of pairs of an entity row and a row of `source` with the same `key`."""
    rows = pq.read_table(source, columns=[key])[key].value_counts()
    found = pc.index_in(asked, value_set=rows.field("values"))
    return int(pc.sum(rows.field("counts").take(found.drop_null())).as_py() or 0)


@quiet()
def feast_join(entities: pa.Table, features: Path, view: str, names: tuple[str, ...]) -> pa.Table:
    """Like `point_in_time`, by Feast's `get_historical_features`."""
    ibis.set_backend(ibis.duckdb.from_connection(connect()))
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
    """The batch features of users at the given moments (int64, µs).

    Columns: `query` (the row number), then QUERY_USER_COLUMNS.
    """
    entities = pa.table(
        {
            "row": pa.array(range(len(user_ids)), pa.int64()),
            "user_id": user_ids,
            "event_timestamp": timestamps.cast(TIMESTAMP),
        }
    )
    table = _read(entities, features, "user_activity", QUERY_USER_COLUMNS)
    return table.select(["row", *QUERY_USER_COLUMNS]).rename_columns(["query", *QUERY_USER_COLUMNS])


def query_users(split: Path, features: Path) -> pa.Table:
    """`users_at` for every query of `data/split`, in the order of the query numbers."""
    queries = pq.read_table(split / "queries.parquet")
    user_ids = pq.read_table(split / "users.parquet")["user_id"]
    return users_at(user_ids.take(queries["user"]), queries["timestamp"], features)


def items_at(item_ids: pa.ChunkedArray, moments: Int64s, features: Path) -> pa.Table:
    """The batch features of items at `moments` (int64, µs, ascending), as rows of changes.

    Columns: `snapshot` (one of `moments`), `item` (its position in `item_ids`), then ITEM_FEATURES.
    A row holds for its item until the item's next row. Sorted by (item, snapshot).
    """
    times = ["event_timestamp", "created_timestamp"]
    changed = pq.read_table(features / "item_activity.parquet", columns=["item_id", *times])
    since = np.maximum(*(changed[name].cast(pa.int64()).to_numpy() for name in times))
    snapshot = np.searchsorted(moments, since)
    item = pc.index_in(changed["item_id"], value_set=item_ids).fill_null(-1).to_numpy()
    asked = (snapshot < len(moments)) & (item >= 0)
    keys = np.unique(item[asked].astype(np.int64) * len(moments) + snapshot[asked])
    item, snapshot = np.divmod(keys, max(len(moments), 1))
    entities = pa.table(
        {
            "row": pa.array(np.arange(len(keys))),
            "item_id": item_ids.take(pa.array(item)),
            "event_timestamp": pa.array(moments[snapshot]).cast(TIMESTAMP),
        }
    )
    table = _read(entities, features, "item_activity", ITEM_FEATURES)
    found = {"snapshot": pa.array(moments[snapshot]), "item": pa.array(item.astype(np.int32))}
    return pa.table(found | {name: table[name] for name in ITEM_FEATURES})


def query_items(split: Path, features: Path) -> pa.Table:
    """`items_at` for every snapshot that a query of `data/split` reads."""
    timestamps = pq.read_table(split / "queries.parquet", columns=["timestamp"])["timestamp"]
    moments = np.unique(Snapshots.read(features).held(timestamps.to_numpy()))
    item_ids = pq.read_table(split / "items.parquet", columns=["item_id"])["item_id"]
    return items_at(item_ids, moments, features)
