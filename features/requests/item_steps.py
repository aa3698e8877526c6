"""Item features of many snapshots, stored as changes from one snapshot to the next."""

from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from base.arrays import Float32s, Int64s
from features.requests.columns import matrix
from features.schema import ITEM_FEATURES

Index = npt.NDArray[Any]


@dataclass(frozen=True)
class ItemSteps:
    """Item features that hold from a snapshot until the item's next row.

    keys: int64 [rows], item · snapshots + snapshot, ascending; values: float32 [rows,
    ITEM_FEATURES].
    """

    keys: Int64s
    values: Float32s
    snapshots: int
    catalogue: int

    @staticmethod
    def from_table(table: pa.Table, moments: Int64s, catalogue: int) -> "ItemSteps":
        """From a table sorted by (item, snapshot), with columns snapshot (µs, one of `moments`),
        item and ITEM_FEATURES.

        moments: int64 [snapshots], µs, ascending.
        """
        snapshot = np.searchsorted(moments, table["snapshot"].to_numpy())
        keys = table["item"].to_numpy().astype(np.int64) * len(moments) + snapshot
        return ItemSteps(keys, matrix(table, ITEM_FEATURES), len(moments), catalogue)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.snapshots, self.catalogue, len(ITEM_FEATURES)

    @overload
    def __getitem__(self, key: int | np.integer[Any], /) -> Float32s: ...
    @overload
    def __getitem__(self, key: tuple[Index, Index], /) -> Float32s: ...
    def __getitem__(self, key: int | np.integer[Any] | tuple[Index, Index], /) -> Float32s:
        """For a snapshot: float32 [catalogue, ITEM_FEATURES]. For (snapshots, items), two arrays
        that broadcast: float32 of their shape plus [ITEM_FEATURES]."""
        snapshots, items = key if isinstance(key, tuple) else (key, np.arange(self.catalogue))
        first = np.asarray(items, dtype=np.int64) * self.snapshots
        row = np.searchsorted(self.keys, first + snapshots, side="right") - 1
        known = (row >= 0) & (self.keys[row] >= first) if len(self.keys) else row >= 0
        found = np.full((*known.shape, len(ITEM_FEATURES)), np.nan, dtype=np.float32)
        found[known] = self.values[row[known]]
        return found


#: float32 [snapshots, catalogue, ITEM_FEATURES], NaN where unknown: a full array, or an ItemSteps.
ItemFeatures: TypeAlias = Float32s | ItemSteps
