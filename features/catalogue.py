"""The items of a moment, as arrays that share one index.

Price, availability and time of creation are those of the moment that is asked about (`at`). Title,
description and categories, and the text vector made of them, are the newest of the table: the
transformer and the trees learn from those at the end of their windows, and are judged and released
with those at the end of the log.

The index of an item is its place in the vocabulary: a function of the log that only grows, so an
older release's vocabulary is always a prefix of a newer catalogue.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from features.past import Past, State
from features.text import TEXT_SIZE, embed_items


@dataclass(frozen=True)
class Catalogue:
    """Items by index, as they are now; `past`: what was different before.

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
    past: Past = field(default_factory=Past.none)

    def __len__(self) -> int:
        return len(self.item_ids)

    @cached_property
    def index(self) -> dict[str, int]:
        """Item id to index."""
        return {item_id: i for i, item_id in enumerate(self.item_ids)}

    def at(self, timestamps: npt.NDArray[np.int64]) -> State:
        """Arrays [n, catalogue], read-only: as known (received) at `timestamps`, int64 [n], µs."""
        shape = len(timestamps), len(self)
        newest = State(
            np.broadcast_to(self.available, shape),
            np.broadcast_to(self.price, shape),
            np.broadcast_to(self.created_at, shape),
        )
        return self.past.restore(newest, timestamps)

    def eligible(self, timestamps: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """bool [n, catalogue]: available and already created at `timestamps`, int64 [n], µs."""
        state = self.at(timestamps)
        return state.available & (state.created_at <= timestamps[:, None])

    @staticmethod
    def from_table(items: pa.Table) -> "Catalogue":
        """From rows of `schema.ITEM`, one per item, in index order; with `items.parquet`'s column
        `past` (see `Past.from_column`), or without one."""
        count = items.num_rows
        names = sorted({c for row in items["categories"].to_pylist() for c in row or ()})
        column = {name: i for i, name in enumerate(names)}
        categories = np.zeros((count, len(names)), dtype=np.float32)
        for row, row_categories in enumerate(items["categories"].to_pylist()):
            for name in row_categories or ():
                categories[row, column[name]] = 1.0
        newest = State.from_table(items)
        text = embed_items(items) if count else np.zeros((0, TEXT_SIZE), dtype=np.float32)
        return Catalogue(
            item_ids=np.array(items["item_id"].to_pylist(), dtype=object),
            titles=np.array([t or "" for t in items["title"].to_pylist()], dtype=object),
            created_at=newest.created_at,
            available=newest.available,
            price=newest.price,
            categories=categories,
            category_names=tuple(names),
            text=text,
            past=Past.from_column(items["past"]) if "past" in items.column_names else Past.none(),
        )
