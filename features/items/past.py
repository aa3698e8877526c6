"""Earlier prices, availability and times of creation of items.

A request of the past must see those of its own moment.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from base.arrays import Bools, Float32s, Int64s

_ALWAYS: Final = np.iinfo(np.int64).min


@dataclass(frozen=True)
class State:
    """The properties of items that may change, in arrays of one shape.

    available: bool; price: float32, NaN where unknown; created_at: int64, µs, 0 where unknown.
    """

    available: Bools
    price: Float32s
    created_at: Int64s

    @staticmethod
    def from_table(rows: pa.Table) -> "State":
        """Arrays [rows] from columns named as in `schema.ITEM`."""
        return State(
            rows["available"].to_numpy(),
            rows["price"].cast(pa.float32()).fill_null(np.nan).to_numpy(),
            rows["created_at"].cast(pa.int64()).fill_null(0).to_numpy(),
        )


@dataclass(frozen=True)
class Past:
    """The states that newer versions replaced, p of them.

    items: int64 [p], index; since, until: int64 [p], µs: in force at since <= time < until; state:
    arrays [p].
    """

    items: Int64s
    since: Int64s
    until: Int64s
    state: State

    @staticmethod
    def from_column(column: pa.ChunkedArray) -> "Past":
        """From `past` of `items.parquet`: for each item a list, oldest first, of structs with
        `until` and the columns of a State.

        The oldest state also holds for all earlier times: before anything was known of an item, it
        counts as what was first known.
        """
        rows = pa.Table.from_struct_array(pc.list_flatten(column))
        return Past(*in_force(column, rows), State.from_table(rows))

    @staticmethod
    def none() -> "Past":
        """For items that never changed."""
        empty = np.zeros(0, dtype=np.int64)
        state = State(empty.astype(np.bool_), empty.astype(np.float32), empty)
        return Past(empty, empty, empty, state)

    def restore(self, newest: State, timestamps: Int64s) -> State:
        """Change `newest`, arrays [n, catalogue], to the states in force at `timestamps`, int64
        [n], µs."""
        if (timestamps >= self.until.max(initial=0)).all():
            return newest
        state = State(newest.available.copy(), newest.price.copy(), newest.created_at.copy())
        for row, moment in enumerate(timestamps):
            entry = np.flatnonzero((self.since <= moment) & (moment < self.until))
            cells = row, self.items[entry]
            state.available[cells] = self.state.available[entry]
            state.price[cells] = self.state.price[entry]
            state.created_at[cells] = self.state.created_at[entry]
        return state


def in_force(column: pa.ChunkedArray, rows: pa.Table) -> tuple[Int64s, Int64s, Int64s]:
    """items, since and until of `rows`, the flattened lists of `column` (one list per item, oldest
    first).

    Each entry is in force from the end of the one before; the first one at all earlier times.
    """
    lengths = pc.list_value_length(column).fill_null(0).to_numpy()
    items = np.repeat(np.arange(len(lengths)), lengths)
    until = rows["until"].cast(pa.int64()).to_numpy()
    first = np.diff(items, prepend=-1) != 0
    return items, np.where(first, _ALWAYS, np.roll(until, 1)), until
