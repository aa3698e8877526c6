"""The items known at a moment, as arrays that share one index.

Prices, availability and times of creation are given for the moment of a request (`at`), and so are
categories and text vectors (`seen`). Titles are the newest in the table. Only the transformer's
training uses one text for its whole window: the text at the window's end.

The index of an item is its position in the vocabulary. New items are only appended, so the
vocabulary of an older release is always a prefix of a newer catalogue.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from base.arrays import Bools, Float32s, Int64s, Objects
from features.items.contents import Contents, Seen
from features.items.multi_hot import category_names, multi_hot
from features.items.past import Past, State
from features.items.text import TEXT_SIZE, embed_items

#: Columns of `items.parquet` besides those of `schema.ITEM`, with earlier states and contents of
#: items.
PASTS: Final = ("past", "past_content")


@dataclass(frozen=True)
class Catalogue:
    """Items by index in their newest state; `past` and `older` hold replaced states and contents.

    item_ids: object [n]; titles: object [n]; created_at: int64 [n], µs, 0 where unknown; available:
    bool [n]; price: float32 [n], NaN where unknown; categories: float32 sparse [n, number of
    categories], multi-hot; category_names: its columns; text: float32 [n, TEXT_SIZE], unit rows
    (zero where an item has no text).
    """

    item_ids: Objects
    titles: Objects
    created_at: Int64s
    available: Bools
    price: Float32s
    categories: sparse.csr_matrix
    category_names: tuple[str, ...]
    text: Float32s
    past: Past = field(default_factory=Past.none)
    older: Contents = field(default_factory=Contents.none)

    def __len__(self) -> int:
        return len(self.item_ids)

    @cached_property
    def index(self) -> dict[str, int]:
        """Item id to index."""
        return {item_id: i for i, item_id in enumerate(self.item_ids)}

    def places(self, item_ids: Iterable[str]) -> list[int]:
        """The index of each of `item_ids`. Ids that are not in the catalogue are left out."""
        return [self.index[item_id] for item_id in item_ids if item_id in self.index]

    def at(self, timestamps: Int64s) -> State:
        """The state of all items as known at `timestamps` (int64 [n], µs): read-only arrays [n,
        catalogue]."""
        shape = len(timestamps), len(self)
        newest = State(
            np.broadcast_to(self.available, shape),
            np.broadcast_to(self.price, shape),
            np.broadcast_to(self.created_at, shape),
        )
        return self.past.restore(newest, timestamps)

    def eligible(self, timestamps: Int64s) -> Bools:
        """bool [n, catalogue]: whether an item is available and created at `timestamps`, int64
        [n], µs."""
        state = self.at(timestamps)
        return state.available & (state.created_at <= timestamps[:, None])

    def seen(self, timestamps: Int64s) -> Seen:
        """Which contents requests at `timestamps` (int64 [n], µs) see: those received by then."""
        return self.older.seen(timestamps, len(self))

    @cached_property
    def all_text(self) -> Float32s:
        """`text`, then the text of replaced versions: float32 [n + older, TEXT_SIZE]."""
        return np.concatenate([self.text, self.older.text]) if len(self.older) else self.text

    @cached_property
    def all_categories(self) -> sparse.csr_matrix:
        """`categories`, then those of replaced versions: float32 [n + older, categories]."""
        if not len(self.older):
            return self.categories
        every = sparse.vstack([self.categories, self.older.categories], format="csr")
        return sparse.csr_matrix(every)

    @staticmethod
    def from_table(items: pa.Table) -> "Catalogue":
        """From rows of `schema.ITEM`, one per item, in index order.

        The columns `past` (see `Past.from_column`) and `past_content` (see `Contents.from_column`)
        are optional.
        """
        count = items.num_rows
        columns, older = items.column_names, None
        if "past_content" in columns:
            older = items["past_content"]
        named = [items["categories"]]
        if older is not None:
            named.append(pc.struct_field(pc.list_flatten(older), "categories"))
        names = category_names(*named)
        newest = State.from_table(items)
        text = embed_items(items) if count else np.zeros((0, TEXT_SIZE), dtype=np.float32)
        return Catalogue(
            item_ids=np.array(items["item_id"].to_pylist(), dtype=object),
            titles=np.array([t or "" for t in items["title"].to_pylist()], dtype=object),
            created_at=newest.created_at,
            available=newest.available,
            price=newest.price,
            categories=multi_hot(items["categories"], names),
            category_names=names,
            text=text,
            past=Past.from_column(items["past"]) if "past" in columns else Past.none(),
            older=Contents.none() if older is None else Contents.from_column(older, names),
        )
