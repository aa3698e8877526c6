"""The items of a moment, as arrays that share one index.

The index of an item is its place in the vocabulary: a function of the log that only grows, so an
older release's vocabulary is always a prefix of a newer catalogue.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.text import TEXT_SIZE, embed_items


@dataclass(frozen=True)
class Catalogue:
    """Items by index.

    item_ids: object [n]; titles: object [n]; created_at: int64 [n], µs, 0 where unknown;
    available: bool [n]; price: float32 [n], NaN where unknown; categories: float32
    [n, number of categories], multi-hot; category_names: its columns;
    text: float32 [n, TEXT_SIZE], unit rows (zero where an item has no text).
    """

    item_ids: npt.NDArray[np.object_]
    titles: npt.NDArray[np.object_]
    created_at: npt.NDArray[np.int64]
    available: npt.NDArray[np.bool_]
    price: npt.NDArray[np.float32]
    categories: npt.NDArray[np.float32]
    category_names: tuple[str, ...]
    text: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.item_ids)

    @cached_property
    def index(self) -> dict[str, int]:
        """Item id to index."""
        return {item_id: i for i, item_id in enumerate(self.item_ids)}

    def eligible(self, timestamp: int) -> npt.NDArray[np.bool_]:
        """bool [n]: available and already created at `timestamp` (µs)."""
        return self.available & (self.created_at <= timestamp)

    @staticmethod
    def from_table(items: pa.Table) -> "Catalogue":
        """From rows of `schema.ITEM`, one per item, in index order."""
        count = items.num_rows
        names = sorted({c for row in items["categories"].to_pylist() for c in row or ()})
        column = {name: i for i, name in enumerate(names)}
        categories = np.zeros((count, len(names)), dtype=np.float32)
        for row, row_categories in enumerate(items["categories"].to_pylist()):
            for name in row_categories or ():
                categories[row, column[name]] = 1.0
        created = items["created_at"].cast(pa.int64()).fill_null(0)
        text = embed_items(items) if count else np.zeros((0, TEXT_SIZE), dtype=np.float32)
        return Catalogue(
            item_ids=np.array(items["item_id"].to_pylist(), dtype=object),
            titles=np.array([t or "" for t in items["title"].to_pylist()], dtype=object),
            created_at=created.to_numpy(),
            available=items["available"].to_numpy(),
            price=items["price"].cast(pa.float32()).fill_null(np.nan).to_numpy(),
            categories=categories,
            category_names=tuple(names),
            text=text,
        )
