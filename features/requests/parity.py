"""Check whether served values equal those that training computes for the same moment."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.arrays import Bools, Float32s, Int64s
from features.batch.joins import items_at, users_at
from features.batch.snapshots import Snapshots
from features.requests.item_steps import ItemSteps
from features.requests.requests import Requests
from features.requests.training_set import queries_at


def offline_requests(
    split: Path,
    features: Path,
    user_ids: Sequence[str],
    timestamps: Sequence[int],
    snapshots: Sequence[int] | None = None,
) -> Requests:
    """What training knows of `user_ids` at `timestamps` (µs), from `data/split` and `data/features`
    built later.

    snapshots: time of the batch features that each request reads, µs; default: the last snapshot
    before the request, as in training. Raises ValueError for a user who is not in the log, or a
    time before the first snapshot.
    """
    known = pq.read_table(split / "users.parquet")["user_id"]
    users = pc.index_in(pa.array(user_ids, pa.string()), value_set=known)
    if users.null_count:
        raise ValueError(f"{users.null_count} of {len(user_ids)} users are not in the log")
    moments = pa.chunked_array([pa.array(timestamps, pa.int64())])
    empty = pa.array([[]] * len(user_ids), pa.list_(pa.int32()))
    queries = pa.table(
        {
            "query": pa.array(range(len(user_ids)), pa.int64()),
            "user": users,
            "timestamp": moments,
            "targets": empty,
            "shown": empty,
        }
    )
    ids = pa.chunked_array([pa.array(user_ids, pa.string())])
    read = (
        Snapshots.read(features).held(moments.to_numpy())
        if snapshots is None
        else np.array(snapshots, dtype=np.int64)
    )
    held = np.unique(read)
    item_ids = pq.read_table(split / "items.parquet", columns=["item_id"])["item_id"]
    items = items_at(item_ids, held, features)
    batch = users_at(ids, pa.chunked_array([pa.array(read)]), features)
    requests = queries_at(split, features, queries, batch, items).requests
    return replace(
        requests,
        item_features=ItemSteps.from_table(items, held, len(item_ids)),
        snapshot=np.searchsorted(held, read).astype(np.int32),
    )


def user_parts(served: Requests, offline: Requests, tolerance: float = 1e-5) -> dict[str, Bools]:
    """In which requests two views of the same requests differ: bool [n] for each part.

    Both views use the same catalogue. The parts are user_features (relative tolerance, NaN equals
    NaN), impressed, history (items, event types and times; events of one moment in any order) and
    hidden (as a set).
    """
    return {
        "user_features": _differs(served.user_features, offline.user_features, tolerance),
        "impressed": _rows_differ(_impressed(served), _impressed(offline)),
        "history": _rows_differ(_histories(served), _histories(offline)),
        "hidden": _rows_differ(_hidden(served), _hidden(offline)),
    }


def _differs(a: Float32s, b: Float32s, tolerance: float) -> Bools:
    equal = np.isclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
    rows: Bools = np.all(equal.reshape(len(a), -1), axis=1)
    return np.logical_not(rows)


def _rows_differ(a: list[list[Any]], b: list[list[Any]]) -> Bools:
    return np.array([x != y for x, y in zip(a, b, strict=True)], dtype=np.bool_)


def _impressed(requests: Requests) -> list[list[Any]]:
    pairs = list(zip(requests.impressed.items, requests.impressed_counts, strict=True))
    return [sorted(row) for row in _cut(pairs, requests.impressed.offsets)]


def _histories(requests: Requests) -> list[list[Any]]:
    h = requests.histories
    rows = list(zip(h.timestamps, h.items, h.event_types, strict=True))
    return [sorted(row) for row in _cut(rows, h.offsets)]


def _hidden(requests: Requests) -> list[list[Any]]:
    rows = _cut(list(requests.hidden.items), requests.hidden.offsets)
    return [sorted(set(row)) for row in rows]


def _cut(rows: list[Any], offsets: Int64s) -> list[list[Any]]:
    return [rows[start:end] for start, end in pairwise(offsets)]
