"""Requests for training and judging from `data/split` and `data/features`, correct for their time.

Histories hold events with strictly earlier timestamps that were known (`received_at`) at the
request. Aggregates come from the last daily snapshot before the request, as the online store would
have held them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.arrays import Float32s, Int64s, Objects
from features.batch.snapshots import Snapshots
from features.items.catalogue import Catalogue
from features.ragged import Histories, Ragged, offsets_of, spans
from features.requests.columns import lengths, matrix, ragged
from features.requests.item_steps import ItemSteps
from features.requests.requests import Queries, Requests
from features.schema import USER_FEATURES
from features.splits.windowing import Rules


@dataclass(frozen=True)
class Timeline:
    """Rows of users, sorted by (user, timestamp), in which requests can be looked up.

    users: int64 [n]; timestamps, received_at: int64 [n], µs.
    """

    users: Int64s
    timestamps: Int64s
    received_at: Int64s

    @staticmethod
    def from_table(table: pa.Table) -> "Timeline":
        return Timeline(
            *(
                table[name].to_numpy().astype(np.int64)
                for name in ("user", "timestamp", "received_at")
            )
        )

    def before(self, users: Int64s, timestamps: Int64s, count: int) -> tuple[Int64s, Int64s]:
        """The newest `count` rows that each request may see, oldest first.

        Returns flat row numbers and offsets, int64 [requests + 1].
        """
        moments = np.unique(self.timestamps)
        width = len(moments) + 1
        keys = self.users * width + np.searchsorted(moments, self.timestamps)
        first = np.searchsorted(keys, users * width)
        end = np.searchsorted(keys, users * width + np.searchsorted(moments, timestamps))
        # A row that arrived late may be invisible to a request, so look at all rows that the user
        # ever had.
        size = int(max(self.users.max(initial=0), users.max(initial=0))) + 1
        late = np.bincount(self.users[self.received_at > self.timestamps], minlength=size)
        lengths = np.minimum(end - first, count + late[users])
        rows = spans(end - lengths, lengths)
        request = np.repeat(np.arange(len(users)), lengths)
        known = self.received_at[rows] <= timestamps[request]
        rows, lengths = rows[known], np.bincount(request[known], minlength=len(users))
        kept = np.minimum(lengths, count)
        newest = spans(offsets_of(lengths)[1:] - kept, kept)
        return rows[newest], offsets_of(kept)


def load_catalogue(split: Path, items: str = "items") -> Catalogue:
    """The items of `data/split` in index order. items: the name of the table to read."""
    return Catalogue.from_table(pq.read_table(split / f"{items}.parquet"))


def load_queries(split: Path, features: Path, window: str, kind: str) -> Queries:
    """The queries of `window` ("rank" or "judge") and `kind` ("organic" or "slate")."""
    selected = (pc.field("window") == window) & (pc.field("kind") == kind)
    queries = pq.read_table(split / "queries.parquet").filter(selected)
    query_users = pq.read_table(features / "query_users.parquet")
    query_items = pq.read_table(features / "item_snapshots.parquet")
    return queries_at(split, features, queries, query_users, query_items)


def queries_at(
    split: Path, features: Path, queries: pa.Table, query_users: pa.Table, query_items: pa.Table
) -> Queries:
    """Arbitrary queries over the log.

    `queries`, `query_users` and `query_items` are as for `build_queries`.
    """
    return build_queries(
        queries=queries,
        query_users=query_users,
        query_items=query_items,
        **_tables(split, features),
    )


def _tables(split: Path, features: Path) -> dict[str, Any]:
    columns = ["user", "item", "event_type", "timestamp", "received_at"]
    user_ids = pq.read_table(split / "users.parquet")["user_id"].to_pylist()
    return {
        "events": pq.read_table(split / "events.parquet", columns=columns),
        "hidden": pq.read_table(split / "hidden.parquet"),
        "user_ids": np.array(user_ids, dtype=object),
        "item_ids": pq.read_table(split / "items.parquet", columns=["item_id"])["item_id"],
        "snapshots": Snapshots.read(features),
        "history_length": Rules.read(split / "rules.json").history_length,
    }


def build_queries(
    *,
    queries: pa.Table,
    events: pa.Table,
    hidden: pa.Table,
    user_ids: Objects,
    item_ids: pa.ChunkedArray,
    query_users: pa.Table,
    query_items: pa.Table,
    snapshots: Snapshots,
    history_length: int,
) -> Queries:
    """Turn queries into arrays, from tables like those of `data/split` and `data/features`.

    queries: query, user, timestamp, targets, shown; events and hidden: sorted by (user, timestamp);
    query_users: one row per query number, in any order, for at least these queries; query_items:
    changes between snapshots (`joins.items_at`), for at least the snapshots needed. Raises
    ValueError if a query lies before the first of `snapshots`.
    """
    users = queries["user"].to_numpy().astype(np.int64)
    timestamps = queries["timestamp"].to_numpy().astype(np.int64)
    rows, offsets = Timeline.from_table(events).before(users, timestamps, history_length)
    histories = Histories(
        offsets,
        events["item"].to_numpy().astype(np.int32)[rows],
        events["event_type"].to_numpy().astype(np.int8)[rows],
        events["timestamp"].to_numpy().astype(np.int64)[rows],
    )
    hidden_rows, hidden_offsets = Timeline.from_table(hidden).before(
        users, timestamps, max(hidden.num_rows, 1)
    )
    row_of = pc.index_in(
        queries["query"].cast(pa.int64()), value_set=query_users["query"].cast(pa.int64())
    )
    if row_of.null_count:
        raise ValueError(f"{row_of.null_count} queries have no row in query_users")
    query_users = query_users.take(row_of)
    impressed, impressed_counts = impressed_rows(query_users, item_ids)
    held = snapshots.held(timestamps)
    moments = np.union1d(held, query_items["snapshot"].to_numpy().astype(np.int64))
    return Queries(
        requests=Requests.of(
            user_ids[users],
            timestamps,
            ItemSteps.from_table(query_items, moments, len(item_ids)),
            histories=histories,
            user_features=matrix(query_users, USER_FEATURES),
            impressed=impressed,
            impressed_counts=impressed_counts,
            snapshot=np.searchsorted(moments, held).astype(np.int32),
            hidden=Ragged(hidden_offsets, hidden["item"].to_numpy().astype(np.int32)[hidden_rows]),
        ),
        targets=ragged(queries["targets"]),
        users=users,
        shown=ragged(queries["shown"]),
    )


def impressed_rows(table: pa.Table, item_ids: pa.ChunkedArray) -> tuple[Ragged, Float32s]:
    """`impressed_items` and `impressed_counts` with item indices. Ids not in `item_ids` are left
    out.

    Returns one row of items for each row of `table`, and their counts, float32 [entries].
    """
    sizes = lengths(table["impressed_items"])
    index = pc.index_in(pc.list_flatten(table["impressed_items"]), value_set=item_ids)
    counts = pc.list_flatten(table["impressed_counts"]).to_numpy().astype(np.float32)
    found = index.fill_null(-1).to_numpy().astype(np.int32)
    known = found >= 0
    rows = np.repeat(np.arange(len(sizes)), sizes)[known]
    offsets = offsets_of(np.bincount(rows, minlength=len(sizes)))
    return Ragged(offsets, found[known]), counts[known]
