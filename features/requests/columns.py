"""Turn columns of tables into arrays."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from base.arrays import Float32s, Int64s
from features.ragged import Ragged, offsets_of


def matrix(table: pa.Table, names: tuple[str, ...]) -> Float32s:
    """float32 [rows, names], NaN for null."""
    values = np.empty((table.num_rows, len(names)), dtype=np.float32)
    for column, name in enumerate(names):
        values[:, column] = table[name].cast(pa.float64()).fill_null(np.nan).to_numpy()
    return values


def ragged(column: pa.ChunkedArray) -> Ragged:
    """Turn a column of lists of item indices into a Ragged."""
    flat = pc.list_flatten(column).to_numpy().astype(np.int32)
    return Ragged(offsets_of(lengths(column)), flat)


def lengths(column: pa.ChunkedArray) -> Int64s:
    """The length of each list, 0 for null: int64 [rows]."""
    found: Int64s = pc.list_value_length(column).fill_null(0).to_numpy().astype(np.int64)
    return found
