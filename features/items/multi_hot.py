"""Categories of items as sparse rows: a catalogue may have thousands, an item has a few."""

from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from base.arrays import Float64s
from features.ragged import gather, offsets_of


def multi_hot(rows: pa.ChunkedArray, names: tuple[str, ...]) -> sparse.csr_matrix:
    """float32 [rows, names]: 1 where a row's list holds the name."""
    column = {name: i for i, name in enumerate(names)}
    columns = [sorted({column[name] for name in row or ()}) for row in rows.to_pylist()]
    offsets = offsets_of([len(row) for row in columns])
    indices = np.fromiter(chain.from_iterable(columns), dtype=np.int32, count=int(offsets[-1]))
    ones = np.ones(len(indices), dtype=np.float32)
    return sparse.csr_matrix((ones, indices, offsets), shape=(len(columns), len(names)))


def category_names(*columns: pa.ChunkedArray) -> tuple[str, ...]:
    """All names in columns of lists, sorted."""
    return tuple(sorted({c for rows in columns for row in rows.to_pylist() for c in row or ()}))


def dots(
    matrix: sparse.csr_matrix, rows: npt.NDArray[np.integer], vectors: npt.NDArray[np.floating]
) -> Float64s:
    """Multiply rows of a matrix [m, f] with a vector per request: float64 [n, C].

    rows: integers [n, C]; vectors: [n, f]. Each product is summed in the order of its row's
    entries, so its bits do not depend on other rows or requests.
    """
    flat = rows.reshape(-1).astype(np.int64)
    entries, offsets = gather(matrix.indptr.astype(np.int64), flat)
    pair = np.repeat(np.arange(len(flat)), np.diff(offsets))
    request = pair // max(rows.shape[1], 1)
    products = matrix.data[entries] * vectors[request, matrix.indices[entries]]
    sums: Float64s = np.bincount(pair, products, len(flat)).astype(np.float64)
    return sums.reshape(rows.shape)


def cosines(
    matrix: sparse.csr_matrix, rows: npt.NDArray[np.integer], others: npt.NDArray[np.integer]
) -> Float64s:
    """Cosine of rows [n] with other rows [m] of a 0/1 matrix: float64 [n, m], 0 if one is empty."""
    first, second = matrix[rows], matrix[others]
    counts = np.outer(np.diff(first.indptr), np.diff(second.indptr)).astype(np.float64)
    common: Float64s = (first @ second.T).toarray().astype(np.float64)
    return common / np.sqrt(np.maximum(counts, 1.0))
