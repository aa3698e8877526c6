"""Users' events as flat token arrays in order, with a flag for possible targets.

The arrays may be memory maps of files larger than memory (`Tokens.open`). So no code here or in
training may create another array of the same length that is wider than a byte.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np

from base.arrays import Bools, Int8s, Int32s, Int64s
from base.errors import InputError
from features.ragged import Histories, offsets_of, spans
from features.schema import SECOND
from features.splits.judged import first_choices

INTERVALS: Final = 32
"""Number of buckets of `interval_buckets`."""

CHUNK_EVENTS: Final = 2**22
"""Number of events processed at a time, where all events are needed."""


class FitError(InputError):
    """The data cannot train a model. The message says why, and what to do."""


def interval_buckets(microseconds: Int64s) -> Int64s:
    """Log2 buckets of seconds: 1 for the same second, 2 for under 2 s, …, at most INTERVALS − 1.

    The caller may use 0 for "unknown".
    """
    seconds = np.maximum(microseconds // SECOND, 0)
    magnitude = np.frexp(seconds.astype(np.float64))[1].astype(np.int64)
    return np.asarray(np.minimum(magnitude + 1, INTERVALS - 1))


@dataclass(frozen=True)
class Tokens:
    """Events of users, ordered by (user, timestamp).

    offsets: int64 [users + 1]; items: int32 [events]; event_types: int8 [events]; timestamps: int64
    [events], µs; wanted: bool [events], whether an event may be a target.
    """

    offsets: Int64s
    items: Int32s
    event_types: Int8s
    timestamps: Int64s
    wanted: Bools

    def __len__(self) -> int:
        return len(self.items)

    def users_of(self, events: Int64s) -> Int64s:
        """int64 [n]: the users of `events` (int64 [n]), as rows of `offsets`."""
        return np.searchsorted(self.offsets, events, side="right") - 1

    def moments_of(self, events: Int64s) -> Int64s:
        """int64 [n]: for each of `events` (int64 [n]), the first event of the same user and moment.

        Events of one moment have no order. Each is predicted from what happened strictly before the
        first of them, as in serving.
        """
        times = self.timestamps[events]
        low, high = self.offsets[self.users_of(events)], events.copy()
        while (low < high).any():
            middle = (low + high) // 2
            earlier = self.timestamps[middle] < times
            low = np.where(earlier, middle + 1, low)
            high = np.where(earlier, high, middle)
        return low

    def before(self, events: Int64s) -> Histories:
        """For each of `events` (int64 [n]), the events of the same user before it in the log."""
        starts = self.offsets[self.users_of(events)]
        lengths = events - starts
        index = spans(starts, lengths)
        return Histories(
            offsets_of(lengths), self.items[index], self.event_types[index], self.timestamps[index]
        )

    def counts(self, catalogue_size: int, targets: bool = False) -> Int64s:
        """int64 [catalogue]: number of events of each item. targets: count only events that may
        be targets."""
        counts = np.zeros(catalogue_size, dtype=np.int64)
        for part in chunks(len(self), CHUNK_EVENTS):
            items = self.items[part][self.wanted[part]] if targets else self.items[part]
            counts += np.bincount(items, minlength=catalogue_size)
        return counts

    def select(self, keep: Bools) -> "Tokens":
        """The events where `keep` is true. Users without events are dropped."""
        some = np.diff(self.offsets) > 0
        counts = np.add.reduceat(keep, self.offsets[:-1][some], dtype=np.int64)
        return Tokens(
            offsets_of(counts[counts > 0]),
            self.items[keep],
            self.event_types[keep],
            self.timestamps[keep],
            self.wanted[keep],
        )

    @staticmethod
    def create(folder: Path, offsets: Int64s) -> "Tokens":
        """Arrays of zeros for users with these `offsets`, to be filled. Writes go to `folder`.

        There is one `.npy` file per field, as `open` expects.
        """
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / "offsets.npy", offsets)
        shape = (int(offsets[-1]),)
        arrays = {
            name: np.lib.format.open_memmap(folder / f"{name}.npy", "w+", dtype, shape)
            for name, dtype in DTYPES.items()
            if name != "offsets"
        }
        return Tokens(offsets, **arrays)

    def save(self, folder: Path) -> None:
        """Write the arrays into `folder`, to be read by `open`."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, dtype in DTYPES.items():
            np.save(folder / f"{name}.npy", vars(self)[name].astype(dtype, copy=False))

    @staticmethod
    def open(folder: Path) -> "Tokens":
        """Memory-map the arrays in `folder`, so that only the parts in use are read.

        Raises FitError unless the folder was written by `save` or `create`.
        """
        arrays = {}
        for name, dtype in DTYPES.items():
            path = folder / f"{name}.npy"
            try:
                arrays[name] = np.asarray(np.load(path, mmap_mode="r"))
            except (OSError, ValueError, EOFError):
                raise FitError(f"{folder} holds no tokens: {path.name} is missing or unreadable; "
                               "write it with Tokens.save") from None  # fmt: skip
            if arrays[name].dtype != dtype or arrays[name].ndim != 1:
                raise FitError(f"{path} holds no tokens: it should be a list of {dtype}")
        ends = {int(arrays["offsets"][-1]) if len(arrays["offsets"]) else -1}
        if {len(arrays[name]) for name in DTYPES if name != "offsets"} != ends:
            raise FitError(f"{folder} holds no tokens: its arrays are of different lengths")
        return Tokens(**arrays)


DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "offsets": np.dtype(np.int64),
    "items": np.dtype(np.int32),
    "event_types": np.dtype(np.int8),
    "timestamps": np.dtype(np.int64),
    "wanted": np.dtype(np.bool_),
}
"""The type of each field of `Tokens`."""


def chunks(count: int, size: int) -> Iterator[slice]:
    """Slices that cover `range(count)`, `size` at a time."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def tokens_from(
    users: Int32s,
    items: Int32s,
    event_types: Int8s,
    timestamps: Int64s,
    repeats: bool,
) -> Tokens:
    """Tokens of events sorted by (user, timestamp).

    Unless `repeats`, only a user's first event with an item is a target, since an item already
    chosen is not shown again. Raises FitError if there are no events, or if they are not sorted.
    """
    if not len(users):
        raise FitError("the fit window has no events: ingest more data or shorten split.*_days")
    before, after = users[:-1], users[1:]
    if (after < before).any() or ((after == before) & (timestamps[1:] < timestamps[:-1])).any():
        raise FitError("events are not sorted by user and timestamp: rerun the stage split")
    starts = np.flatnonzero(np.r_[True, after != before])
    offsets = np.r_[starts, len(users)].astype(np.int64)
    wanted = np.ones(len(users), dtype=bool) if repeats else _first_choices(offsets, items)
    return Tokens(offsets, items, event_types, timestamps, wanted)


def _first_choices(offsets: Int64s, items: Int32s) -> Bools:
    """bool [events]: whether this is the user's first event with the item."""
    first = np.zeros(len(items), dtype=bool)
    # Process whole users at a time, so that no two chunks share a user.
    bounds = np.unique(np.searchsorted(offsets, np.arange(0, len(items), CHUNK_EVENTS)))
    for begin, end in pairwise([*bounds.tolist(), len(offsets) - 1]):
        part = slice(offsets[begin], offsets[end])
        users = np.repeat(np.arange(end - begin), np.diff(offsets[begin : end + 1]))
        first[part] = first_choices(users, items[part])
    return first
