"""Lists of unequal length, stored as one flat array per field, with offsets."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from base.arrays import Int8s, Int32s, Int64s


@dataclass(frozen=True)
class Ragged:
    """Rows of item indices: row `r` is `items[offsets[r]:offsets[r + 1]]`.

    offsets: int64 [rows + 1]; items: int32 [total].
    """

    offsets: Int64s
    items: Int32s

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> Int32s:
        return self.items[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> Int64s:
        """Number of entries per row, int64 [rows]."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> Int64s:
        """Row number of every entry, int64 [total]."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def select(self, rows: Int64s) -> "Ragged":
        """The rows `rows`, in that order."""
        index, offsets = gather(self.offsets, rows)
        return Ragged(offsets, self.items[index])

    @staticmethod
    def empty(rows: int) -> "Ragged":
        """`rows` rows without entries."""
        return Ragged(np.zeros(rows + 1, dtype=np.int64), np.zeros(0, dtype=np.int32))

    @staticmethod
    def from_lists(lists: Sequence[Sequence[int]]) -> "Ragged":
        lengths = [len(row) for row in lists]
        return Ragged(
            offsets_of(lengths),
            np.fromiter((i for row in lists for i in row), dtype=np.int32, count=sum(lengths)),
        )


@dataclass(frozen=True)
class Histories:
    """What users did before each request, oldest first.

    offsets: int64 [requests + 1]; items: int32 [tokens], catalogue index;
    event_types: int8 [tokens], `schema.EVENT_CODES`; timestamps: int64 [tokens], µs.
    """

    offsets: Int64s
    items: Int32s
    event_types: Int8s
    timestamps: Int64s

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> Int64s:
        return np.diff(self.offsets)

    @property
    def rows(self) -> Int64s:
        return np.repeat(np.arange(len(self)), self.lengths)

    def select(self, rows: Int64s) -> "Histories":
        """The histories of `rows`, in that order."""
        index, offsets = gather(self.offsets, rows)
        return Histories(
            offsets, self.items[index], self.event_types[index], self.timestamps[index]
        )

    @staticmethod
    def from_rows(rows: Sequence[Sequence[tuple[int, int, int]]]) -> "Histories":
        """From the entries of each request, (timestamp, item, event type), oldest first."""
        offsets = offsets_of([len(row) for row in rows])
        values = chain.from_iterable(chain.from_iterable(rows))
        entries = np.fromiter(values, dtype=np.int64, count=3 * offsets[-1]).reshape(-1, 3)
        timestamps, items, types = entries.T
        return Histories(
            offsets, items.astype(np.int32), types.astype(np.int8), timestamps.astype(np.int64)
        )

    def last(self, count: int) -> "Histories":
        """Keep the newest `count` entries of each history."""
        kept = np.minimum(self.lengths, count)
        index = spans(self.offsets[1:] - kept, kept)
        return Histories(
            offsets_of(kept), self.items[index], self.event_types[index], self.timestamps[index]
        )


def offsets_of(lengths: Sequence[int] | Int64s) -> Int64s:
    """The offsets, int64 [n + 1], of rows with these lengths."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.add.accumulate(lengths, dtype=np.int64, out=offsets[1:])
    return offsets


def spans(starts: Int64s, lengths: Int64s) -> Int64s:
    """Concatenated ranges `start, start + 1, …, start + length - 1`."""
    offsets = offsets_of(lengths)
    return np.arange(offsets[-1]) - np.repeat(offsets[:-1] - starts, lengths)


def gather(offsets: Int64s, rows: Int64s) -> tuple[Int64s, Int64s]:
    """Flat positions of the entries of `rows`, in that order, and the offsets of the selected
    rows."""
    lengths = np.diff(offsets)[rows]
    return spans(offsets[:-1][rows], lengths), offsets_of(lengths)
