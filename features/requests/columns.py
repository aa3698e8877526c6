"""Columns of tables as arrays."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.ragged import Ragged, offsets_of


def matrix(table: pa.Table, names: tuple[str, ...]) -> npt.NDArray[np.float32]:
    """float32 [rows, names], NaN for null."""
    values = np.empty((table.num_rows, len(names)), dtype=np.float32)
    for column, name in enumerate(names):
        values[:, column] = table[name].cast(pa.float64()).fill_null(np.nan).to_numpy()
    return values


def ragged(column: pa.ChunkedArray) -> Ragged:
    """A column of lists of item indices."""
    flat = pc.list_flatten(column).to_numpy().astype(np.int32)
    return Ragged(offsets_of(lengths(column)), flat)


def lengths(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Of each list, 0 for null: int64 [rows]."""
    found: npt.NDArray[np.int64] = (
        pc.list_value_length(column).fill_null(0).to_numpy().astype(np.int64)
    )
    return found
