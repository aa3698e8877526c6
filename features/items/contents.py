"""Earlier texts and categories of items. A request of the past must see those of its own moment.

A replaced version is an extra row below the catalogue's rows in every array of contents. `Seen`
says which row a request sees for an item. So a batch is scored once, although its requests see
different versions, and the cost grows with the number of versions, not of moments.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from base.arrays import Float32s, Int64s
from features.items.multi_hot import multi_hot
from features.items.past import in_force
from features.items.text import TEXT_SIZE, embed_items
from features.ragged import Histories, spans


@dataclass(frozen=True)
class Contents:
    """The contents that newer versions replaced, p of them.

    items: int64 [p], index; since, until: int64 [p], µs: in force at since <= time < until. Spans
    of one item do not overlap. categories: float32 sparse [p, number of categories], multi-hot;
    text: float32 [p, TEXT_SIZE].
    """

    items: Int64s
    since: Int64s
    until: Int64s
    categories: sparse.csr_matrix
    text: Float32s

    def __len__(self) -> int:
        return len(self.items)

    @staticmethod
    def from_column(column: pa.ChunkedArray, category_names: tuple[str, ...]) -> "Contents":
        """From `past_content` of `items.parquet`: for each item a list, oldest first, of structs
        with `until`, title, description and categories.

        The oldest entry holds for all earlier times, as in `Past.from_column`.
        """
        rows = pa.Table.from_struct_array(pc.list_flatten(column))
        if not rows.num_rows:
            return Contents.none()
        return Contents(
            *in_force(column, rows),
            categories=multi_hot(rows["categories"], category_names),
            text=embed_items(rows),
        )

    @staticmethod
    def none() -> "Contents":
        """For items whose contents never changed."""
        times = np.zeros(0, dtype=np.int64)
        none = sparse.csr_matrix(np.zeros((0, 0), dtype=np.float32))
        return Contents(times, times, times, none, np.zeros((0, TEXT_SIZE), dtype=np.float32))

    def seen(self, timestamps: Int64s, size: int) -> "Seen":
        """The rows of contents that requests at `timestamps` (int64 [n], µs) see, for `size`
        items."""
        order = np.argsort(timestamps, kind="stable")
        first, end = (
            np.searchsorted(timestamps, moments, sorter=order)
            for moments in (self.since, self.until)
        )
        lengths = np.maximum(end - first, 0)
        rows = order[spans(first, lengths)]
        version = np.repeat(np.arange(len(self)), lengths)
        keys = rows * size + self.items[version]
        by_key = np.argsort(keys)
        return Seen(size, len(self), keys[by_key], size + version[by_key])


@dataclass(frozen=True)
class Seen:
    """Which row of contents each request sees for each item: the item's own row, unless listed
    here.

    size, older: number of rows of the catalogue, and of replaced versions below them; keys: int64
    [k], ascending, request * size + item; versions: int64 [k], the row seen instead.
    """

    size: int
    older: int
    keys: Int64s
    versions: Int64s

    def of(self, rows: Int64s, items: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
        """The rows of contents that requests `rows` see for `items`.

        The two arrays broadcast to one shape.
        """
        if not len(self.keys):
            return items
        asked = rows * self.size + items
        place = np.minimum(np.searchsorted(self.keys, asked), len(self.keys) - 1)
        seen = np.where(self.keys[place] == asked, self.versions[place], items)
        return seen.astype(items.dtype)

    def histories(self, histories: Histories) -> Histories:
        """The same histories with rows of contents instead of items."""
        items = self.of(histories.rows, histories.items)
        return replace(histories, items=items.astype(np.int32))

    def weights(self, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        """Turn weights of items [n, size] into weights of rows of contents [n, size + older]."""
        if not self.older:
            return matrix
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        shape = matrix.shape[0], self.size + self.older
        return sparse.csr_matrix(
            (matrix.data, self.of(rows, matrix.indices), matrix.indptr), shape=shape
        )

    def scores(self, scores: Float32s) -> Float32s:
        """Turn scores of rows of contents [n, size + older] into scores of items [n, size]."""
        if not self.older:
            return scores
        found = np.ascontiguousarray(scores[:, : self.size])
        rows, items = np.divmod(self.keys, self.size)
        found[rows, items] = scores[rows, self.versions]
        return found
