"""Pack whole histories into full rows, batch after batch, by vectorised gathers.

A row holds several windows. A window is a start token and up to `max_length` events of one user.
Attention never crosses windows, and positions restart in each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from base.arrays import Bools, Int32s, Int64s
from features.ragged import spans
from features.schema import SECOND
from training.transformer.data import Tokens, interval_buckets

BOS: Final = -2
"""Start token before a user's first event."""

CUT: Final = -1
"""Start token of a window whose earlier events are cut off."""


class Inputs(NamedTuple):
    """The model's input, int64 [rows, length] each.

    items: catalogue index, BOS or CUT; event_types: `schema.EVENT_CODES`; intervals, gaps: bucketed
    time since the previous event, and until the next event (or the request), 0 if unknown;
    positions: 0 at each window's start token; times: time of the event in seconds since the first
    event of its window; nexts: time of the next event or the request, in the same unit, or the
    event's own time if there is none.
    """

    items: Tensor
    event_types: Tensor
    intervals: Tensor
    gaps: Tensor
    positions: Tensor
    times: Tensor
    nexts: Tensor


class Sample(NamedTuple):
    """The items that one step uses instead of the whole vocabulary.

    rows: int64 [rows], ascending, the items that are represented; negatives: int64 [n], ascending,
    positions in `rows` of the drawn items; log_chances: float32 [n], ≤ 0, log of the probability
    that an item is drawn. In a step with a sample, items and targets of the `Batch` are positions
    in `rows`.
    """

    rows: Tensor
    negatives: Tensor
    log_chances: Tensor


class Batch(NamedTuple):
    """Packed rows and what they should predict, all int64.

    windows: [rows, length], a number per window, 0 for empty slots; contexts: [targets], flat slot
    of the last token strictly before each target; targets: [targets]; all_targets: targets of this
    step over all devices, int64 [all targets], never moved to a device; sample: None for the exact
    softmax.
    """

    inputs: Inputs
    windows: Tensor
    contexts: Tensor
    targets: Tensor
    all_targets: Int64s
    sample: Sample | None = None


@dataclass(frozen=True)
class TokenWindows:
    """Windows of users' histories.

    starts, lengths: int64 [windows], first event and number of events; whole, final: bool
    [windows], whether the window begins and ends with the user's history.
    """

    starts: Int64s
    lengths: Int64s
    whole: Bools
    final: Bools

    def __getitem__(self, chosen: Int64s | Bools) -> "TokenWindows":
        return TokenWindows(
            self.starts[chosen], self.lengths[chosen], self.whole[chosen], self.final[chosen]
        )


def cut_windows(offsets: Int64s, max_length: int, random: np.random.Generator) -> TokenWindows:
    """Windows that cover every history. Long histories are cut at places drawn anew each time."""
    lengths = np.diff(offsets)
    first = np.minimum(lengths, max_length)
    long = lengths > max_length
    first[long] = random.integers(1, max_length + 1, size=int(long.sum()))
    counts = 1 + -(-(lengths - first) // max_length)
    user = np.repeat(np.arange(len(lengths)), counts)
    number = spans(np.zeros_like(counts), counts)
    begin = np.where(number == 0, 0, first[user] + (number - 1) * max_length)
    end = np.minimum(first[user] + number * max_length, lengths[user])
    keep = end > begin
    begin, end, user = begin[keep], end[keep], user[keep]
    return TokenWindows(offsets[user] + begin, end - begin, begin == 0, end == lengths[user])


def pack(sizes: Int64s, row_length: int) -> tuple[Int64s, Int64s]:
    """(row, slot) of each piece, int64, by best fit with the largest pieces first.

    Pieces of one size are placed together: the fullest row that can take one takes as many as fit,
    then the next row. So the time is that of a few passes over the pieces, plus a constant for each
    of at most row_length² pairs of a size and the free space of a row.
    """
    rows, slots = np.zeros_like(sizes), np.zeros_like(sizes)
    open_rows = [np.zeros(0, dtype=np.int64) for _ in range(row_length + 1)]
    order = np.argsort(-sizes, kind="stable")
    ends = np.cumsum(np.bincount(sizes, minlength=row_length + 1)[::-1])[::-1]
    used = done = 0
    for size in range(row_length, 0, -1):
        for space in range(size, row_length + 1):
            left = int(ends[size]) - done
            if not left:
                break
            fitting = space // size
            needed = -(-left // fitting)
            if space == row_length:
                opened, used = np.arange(used, used + needed), used + needed
            else:
                opened = open_rows[space][-needed:][::-1]
                open_rows[space] = open_rows[space][: -len(opened) or None]
            placed = min(left, len(opened) * fitting)
            number = np.arange(placed)
            pieces = order[done : done + placed]
            rows[pieces] = opened[number // fitting]
            slots[pieces] = row_length - space + number % fitting * size
            done += placed
            full, rest = divmod(placed, fitting)
            _free(open_rows, space - fitting * size, opened[:full])
            _free(open_rows, space - rest * size, opened[full:])
    return rows, slots


def _free(open_rows: list[Int64s], space: int, rows: Int64s) -> None:
    """Record that `rows` have `space` free slots."""
    if space and len(rows):
        open_rows[space] = np.r_[open_rows[space], rows]


@dataclass(frozen=True)
class Epoch:
    """The batches of one pass over the events, a pure function of (tokens, settings, epoch).

    Device `rank` of `world` devices takes its share of the rows of every step. index: int32
    [catalogue], the number that batches use for each item; None: the same as in the tokens.
    """

    tokens: Tokens
    max_length: int
    batch_tokens: int
    seed: int
    epoch: int
    rank: int = 0
    world: int = 1
    index: Int32s | None = None

    @cached_property
    def row_length(self) -> int:
        """Slots per row, at most as many as the longest history needs."""
        longest = int(np.diff(self.tokens.offsets).max(initial=1))
        return min(self.max_length, longest) + 1

    @property
    def rows_per_step(self) -> int:
        """Rows per optimiser step, the same for any number of devices."""
        return max(1, self.batch_tokens // self.row_length)

    @property
    def steps(self) -> int:
        """Number of optimiser steps in this epoch."""
        rows = self._plan()[1]
        return -(-(int(rows.max()) + 1) // self.rows_per_step)

    def __iter__(self) -> Iterator[Batch]:
        windows, rows, slots = self._plan()
        order = np.argsort(rows, kind="stable")
        bounds = np.arange(0, int(rows.max()) + 1 + self.rows_per_step, self.rows_per_step)
        cuts = np.searchsorted(rows[order], bounds)
        for step in range(len(bounds) - 1):
            chosen = order[cuts[step] : cuts[step + 1]]
            row = rows[chosen] - step * self.rows_per_step
            yield self._batch(windows[chosen], row, slots[chosen])

    def _plan(self) -> tuple[TokenWindows, Int64s, Int64s]:
        """Windows with the row and slot of each, in an order drawn for this epoch."""
        random = np.random.default_rng((self.seed, self.epoch))
        windows = cut_windows(self.tokens.offsets, self.max_length, random)
        windows = windows[random.permutation(len(windows.starts))]
        rows, slots = pack(windows.lengths + 1, self.row_length)
        return windows, random.permutation(int(rows.max()) + 1)[rows], slots

    def _batch(self, windows: TokenWindows, row: Int64s, slots: Int64s) -> Batch:
        """The batch of this device, from the windows of one step. row: row within the step, over
        all devices."""
        targets, contexts, owner = self._targets(windows)
        all_targets = self._items(targets).astype(np.int64)
        mine = row % self.world == self.rank
        ours = mine[owner]
        contexts, owner = contexts[ours], (np.cumsum(mine) - 1)[owner[ours]]
        windows, row, slots = windows[mine], row[mine] // self.world, slots[mine]
        length = self.row_length
        height = int(row.max(initial=0)) + 1
        base = row * length + slots
        events = spans(windows.starts, windows.lengths)
        window = np.repeat(np.arange(len(row)), windows.lengths)
        place = spans(np.zeros_like(row), windows.lengths)
        slot = base[window] + 1 + place
        times = self.tokens.timestamps[events]
        last = np.flatnonzero(place == windows.lengths[window] - 1)
        following = np.empty_like(times)
        following[:-1] = times[1:]
        following[last] = self._following(windows)
        gaps = interval_buckets(following - times)
        gaps[last[windows.final]] = 0
        intervals = np.zeros_like(gaps)
        intervals[1:] = gaps[:-1]
        intervals[place == 0] = 0
        begin = self.tokens.timestamps[windows.starts][window] // SECOND

        def rows_of(
            values: npt.NDArray[np.integer], start: npt.NDArray[np.integer] | int
        ) -> Tensor:
            flat = np.zeros(height * length, dtype=np.int64)
            flat[slot] = values
            flat[base] = start
            return torch.from_numpy(flat.reshape(height, length))

        inputs = Inputs(
            items=rows_of(self._items(events), np.where(windows.whole, BOS, CUT)),
            event_types=rows_of(self.tokens.event_types[events], 0),
            intervals=rows_of(intervals, 0),
            gaps=rows_of(gaps, 0),
            positions=rows_of(place + 1, 0),
            times=rows_of(times // SECOND - begin, 0),
            nexts=rows_of(following // SECOND - begin, 0),
        )
        return Batch(
            inputs,
            windows=rows_of(window + 1, np.arange(1, len(row) + 1)),
            contexts=torch.from_numpy(base[owner] + contexts),
            targets=torch.from_numpy(all_targets[ours]),
            all_targets=all_targets,
        )

    def _items(self, events: Int64s) -> Int32s:
        items = self.tokens.items[events]
        return items if self.index is None else self.index[items]

    def _following(self, windows: TokenWindows) -> Int64s:
        """int64 [windows], µs: time of the user's first event after each window, else of the
        window's last event."""
        following: Int64s = windows.starts + windows.lengths - windows.final
        return self.tokens.timestamps[following]

    def _targets(self, windows: TokenWindows) -> tuple[Int64s, Int64s, Int64s]:
        """Targets, int64 each: event, position in its window of the token before it, window.

        Events of a window's first moment are preceded only by its start token. After a cut this
        token says nothing, so such events are not targets. Nor is an event whose moment began in an
        earlier window.
        """
        events = spans(windows.starts, windows.lengths)
        owner = np.repeat(np.arange(len(windows.starts)), windows.lengths)
        place = spans(np.zeros_like(windows.starts), windows.lengths)
        times = self.tokens.timestamps[events]
        new = place == 0
        new[1:] |= times[1:] != times[:-1]
        context = np.maximum.accumulate(np.where(new, np.arange(len(events)), 0))
        context = place[context]
        keep = ((context > 0) | windows.whole[owner]) & self.tokens.wanted[events]
        return events[keep], context[keep], owner[keep]
