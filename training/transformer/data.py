"""Behaviour as flat token arrays: users' events in order, with what each one predicts."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from features.errors import InputError
from features.ragged import offsets_of
from features.schema import SECOND

Ints = npt.NDArray[np.int64]

INTERVALS: Final = 32
"""Buckets of `interval_buckets`."""


class FitError(InputError):
    """The data cannot train a model; the message says why and what to do."""


def interval_buckets(microseconds: Ints) -> Ints:
    """Log2 buckets of seconds: 1 for the same second, 2 for under 2 s, …, at most INTERVALS − 1.

    0 is kept for "unknown", which the caller assigns.
    """
    seconds = np.maximum(microseconds // SECOND, 0)
    magnitude = np.frexp(seconds.astype(np.float64))[1].astype(np.int64)
    return np.asarray(np.minimum(magnitude + 1, INTERVALS - 1))


@dataclass(frozen=True)
class Tokens:
    """Events of users, ordered by (user, timestamp).

    offsets: int64 [users + 1]; items: int32 [events]; event_types: int8 [events];
    timestamps: int64 [events], µs; wanted: bool [events], whether the event may be a target.
    """

    offsets: Ints
    items: npt.NDArray[np.int32]
    event_types: npt.NDArray[np.int8]
    timestamps: Ints
    wanted: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def users(self) -> Ints:
        """int64 [events]: whose event it is, as a row of `offsets`."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    @cached_property
    def firsts(self) -> Ints:
        """int64 [events]: the first event of the same user at the same moment.

        Events of one moment have no order among themselves: each is predicted from what came
        strictly before the first of them, as it is when served.
        """
        if not len(self):
            return np.zeros(0, dtype=np.int64)
        new = np.ones(len(self), dtype=bool)
        new[1:] = np.diff(self.timestamps) != 0
        new[self.offsets[:-1][np.diff(self.offsets) > 0]] = True
        return np.maximum.accumulate(np.where(new, np.arange(len(self)), 0))

    @cached_property
    def gaps(self) -> npt.NDArray[np.int8]:
        """int8 [events]: bucketed time to the user's next event, 0 after the last."""
        gaps = np.zeros(len(self), dtype=np.int8)
        gaps[:-1] = interval_buckets(np.diff(self.timestamps))
        gaps[self.offsets[1:][np.diff(self.offsets) > 0] - 1] = 0
        return gaps

    @cached_property
    def seconds(self) -> Ints:
        """int64 [events]: `timestamps` in whole seconds."""
        return self.timestamps // SECOND

    @cached_property
    def nexts(self) -> Ints:
        """int64 [events], s: when the user's next event is; the event itself after the last."""
        nexts = self.seconds.copy()
        nexts[:-1] = self.seconds[1:]
        ends = self.offsets[1:][np.diff(self.offsets) > 0] - 1
        nexts[ends] = self.seconds[ends]
        return nexts

    def select(self, keep: npt.NDArray[np.bool_]) -> "Tokens":
        """The events where `keep`, users without any dropped."""
        counts = np.bincount(self.users[keep], minlength=len(self.offsets) - 1)
        return Tokens(
            offsets_of(counts[counts > 0]),
            self.items[keep],
            self.event_types[keep],
            self.timestamps[keep],
            self.wanted[keep],
        )

    def renumber(self, index: npt.NDArray[np.int32]) -> "Tokens":
        """Items replaced by `index[item]`."""
        return replace(self, items=index[self.items])


def tokens_from(
    users: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    event_types: npt.NDArray[np.int8],
    timestamps: Ints,
    repeats: bool,
) -> Tokens:
    """Tokens of events sorted by (user, timestamp).

    `repeats` false: only a user's first event with an item is a target, since an item already
    chosen is not shown again. Raises FitError without events or if they are not sorted.
    """
    if not len(users):
        raise FitError("the fit window has no events: ingest more data or shorten split.*_days")
    step = np.diff(users.astype(np.int64))
    if (step < 0).any() or ((step == 0) & (np.diff(timestamps) < 0)).any():
        raise FitError("events are not sorted by user and timestamp: rerun the stage split")
    wanted = np.ones(len(users), dtype=bool)
    if not repeats:
        pairs = users.astype(np.int64) * (int(items.max()) + 1) + items
        wanted[:] = False
        wanted[np.unique(pairs, return_index=True)[1]] = True
    starts = np.flatnonzero(np.r_[True, step != 0])
    offsets = np.r_[starts, len(users)].astype(np.int64)
    return Tokens(offsets, items, event_types, timestamps, wanted)
