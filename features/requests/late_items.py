"""Items of today's catalogue that the service did not know yet when it answered a request."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from base.arrays import Int32s, Int64s
from features.ragged import Ragged, offsets_of
from features.requests.requests import Requests


def first_known(split: Path) -> Int64s:
    """When each item of `data/split` became known, int64 [catalogue], µs."""
    items = pq.read_table(split / "items.parquet", columns=["first_known"])
    moments: Int64s = items["first_known"].cast(pa.int64()).to_numpy()
    return moments


def without_late_items(requests: Requests, known: Int64s) -> Requests:
    """The requests, which exclude items that became known after them.

    known: int64 [catalogue], µs, from `first_known`. Memory grows with requests times late items,
    so pass a part of the requests if both are many (`late_items`).
    """
    late = late_items(requests, known)
    late = late[np.argsort(known[late], kind="stable")]
    starts = np.searchsorted(known[late], requests.timestamps, side="right")
    before = requests.excluded or Ragged.empty(len(requests))
    lists = [
        np.concatenate([before[row], late[start:]]) for row, start in enumerate(starts.tolist())
    ]
    items = np.concatenate([np.zeros(0, dtype=np.int32), *lists]).astype(np.int32)
    return requests.excluding(Ragged(offsets_of([len(each) for each in lists]), items))


def late_items(requests: Requests, known: Int64s) -> Int32s:
    """Indices of the items that became known after the first of the requests."""
    first = requests.timestamps.min(initial=np.iinfo(np.int64).max)
    return np.flatnonzero(known > first).astype(np.int32)
