"""Whole histories packed into full rows, batch after batch, by vectorised gathers.

A row holds several windows; a window is one start token and up to `max_length` events of one
user. Attention never crosses windows, positions restart in each.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from features.ragged import offsets_of, spans
from training.transformer.data import Ints, Tokens

BOS: Final = -2
"""Stands before a user's first event."""

CUT: Final = -1
"""Stands before a window whose earlier events are cut off."""


class Inputs(NamedTuple):
    """What the model reads, int64 [rows, length] each.

    items: catalogue index, BOS or CUT; event_types: `schema.EVENT_CODES`; intervals, gaps:
    bucketed time since the event before and until the event after (or the request), 0 unknown;
    positions: 0 at the start token of each window; times: s, of the event, counted from the first
    of its window; nexts: s, of the event after or the request, itself where there is none.
    """

    items: Tensor
    event_types: Tensor
    intervals: Tensor
    gaps: Tensor
    positions: Tensor
    times: Tensor
    nexts: Tensor


class Batch(NamedTuple):
    """Packed rows and what they should predict, all int64.

    windows: [rows, length], a number per window, 0 where the slot is empty; contexts, targets:
    [targets], flat slot of the last token strictly before each target, and the target; total:
    targets of this step over all devices.
    """

    inputs: Inputs
    windows: Tensor
    contexts: Tensor
    targets: Tensor
    total: Tensor


@dataclass(frozen=True)
class Windows:
    """int64 [windows] each: first event, number of events; `whole` bool: starts with its user."""

    starts: Ints
    lengths: Ints
    whole: npt.NDArray[np.bool_]


def cut_windows(offsets: Ints, max_length: int, random: np.random.Generator) -> Windows:
    """Windows that cover every history; long ones are cut at places drawn anew each time."""
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
    return Windows((offsets[user] + begin)[keep], (end - begin)[keep], (number == 0)[keep])


def pack(sizes: Ints, row_length: int) -> tuple[Ints, Ints]:
    """(row, slot) of each piece, int64: best fit, largest first, in O(pieces).

    Free space of open rows is kept as one bit set, so the tightest row that still takes a piece is
    the lowest bit at or above its size.
    """
    rows, slots = np.zeros_like(sizes), np.zeros_like(sizes)
    open_rows: list[list[int]] = [[] for _ in range(row_length + 1)]
    free, used = 0, 0
    for piece in np.argsort(-sizes, kind="stable").tolist():
        size = int(sizes[piece])
        fitting = free >> size
        if fitting:
            space = size + (fitting & -fitting).bit_length() - 1
            row = open_rows[space].pop()
            if not open_rows[space]:
                free &= ~(1 << space)
        else:
            space, row, used = row_length, used, used + 1
        rows[piece], slots[piece] = row, row_length - space
        if space > size:
            open_rows[space - size].append(row)
            free |= 1 << (space - size)
    return rows, slots


@dataclass(frozen=True)
class Epoch:
    """The batches of one pass over the events: a pure function of (tokens, settings, epoch).

    `rank` of `world` devices takes its share of the rows of every step.
    """

    tokens: Tokens
    max_length: int
    batch_tokens: int
    seed: int
    epoch: int
    rank: int = 0
    world: int = 1

    @property
    def row_length(self) -> int:
        """Slots per row: no longer than the longest history needs."""
        longest = int(np.diff(self.tokens.offsets).max(initial=1))
        return min(self.max_length, longest) + 1

    @property
    def rows_per_step(self) -> int:
        """Rows of one optimiser step, the same for any number of devices that it can feed."""
        return max(self.world, self.batch_tokens // self.row_length)

    @property
    def steps(self) -> int:
        """Optimiser steps of this epoch."""
        rows = self._plan()[1]
        return -(-(int(rows.max()) + 1) // self.rows_per_step)

    def __iter__(self) -> Iterator[Batch]:
        windows, rows, slots = self._plan()
        order = np.argsort(rows, kind="stable")
        bounds = np.arange(0, int(rows.max()) + 1 + self.rows_per_step, self.rows_per_step)
        cuts = np.searchsorted(rows[order], bounds)
        for step in range(len(bounds) - 1):
            yield self._batch(windows, rows, slots, order[cuts[step] : cuts[step + 1]], step)

    def _plan(self) -> tuple[Windows, Ints, Ints]:
        """Windows with the row and slot of each, in an order drawn for this epoch."""
        random = np.random.default_rng((self.seed, self.epoch))
        windows = cut_windows(self.tokens.offsets, self.max_length, random)
        mixed = random.permutation(len(windows.starts))
        windows = Windows(windows.starts[mixed], windows.lengths[mixed], windows.whole[mixed])
        rows, slots = pack(windows.lengths + 1, self.row_length)
        return windows, random.permutation(int(rows.max()) + 1)[rows], slots

    def _batch(self, windows: Windows, rows: Ints, slots: Ints, chosen: Ints, step: int) -> Batch:
        length = self.row_length
        row = rows[chosen] - step * self.rows_per_step
        total = self._targets(windows, chosen)[0].size
        mine = row % self.world == self.rank
        chosen, row = chosen[mine], row[mine] // self.world
        height = int(row.max(initial=0)) + 1
        base = row * length + slots[chosen]
        targets, contexts, owner = self._targets(windows, chosen)
        window = np.repeat(np.arange(len(chosen)), windows.lengths[chosen])
        event = spans(windows.starts[chosen], windows.lengths[chosen])
        slot = event - np.repeat(windows.starts[chosen] - base - 1, windows.lengths[chosen])
        first = np.zeros(len(event), dtype=bool)
        first[offsets_of(windows.lengths[chosen])[:-1]] = True
        tokens = self.tokens
        previous = np.where(first, 0, tokens.gaps[np.maximum(event - 1, 0)])
        begin = tokens.seconds[windows.starts[chosen]][window]

        def rows_of(
            values: npt.NDArray[np.integer], start: npt.NDArray[np.integer] | int
        ) -> Tensor:
            flat = np.zeros(height * length, dtype=np.int64)
            flat[slot] = values
            flat[base] = start
            return torch.from_numpy(flat.reshape(height, length))

        inputs = Inputs(
            items=rows_of(tokens.items[event], np.where(windows.whole[chosen], BOS, CUT)),
            event_types=rows_of(tokens.event_types[event], 0),
            intervals=rows_of(previous, 0),
            gaps=rows_of(tokens.gaps[event], 0),
            positions=rows_of(event - windows.starts[chosen][window] + 1, 0),
            times=rows_of(tokens.seconds[event] - begin, 0),
            nexts=rows_of(tokens.nexts[event] - begin, 0),
        )
        return Batch(
            inputs,
            windows=rows_of(window + 1, np.arange(1, len(chosen) + 1)),
            contexts=torch.from_numpy(base[owner] + contexts - windows.starts[chosen][owner] + 1),
            targets=torch.from_numpy(tokens.items[targets].astype(np.int64)),
            total=torch.tensor(total),
        )

    def _targets(self, windows: Windows, chosen: Ints) -> tuple[Ints, Ints, Ints]:
        """Targets of the chosen windows, int64 each: event, event before it, window in `chosen`.

        The event before the first of a window is its start token; after a cut that token says
        nothing, so such events are no targets.
        """
        starts, lengths = windows.starts[chosen], windows.lengths[chosen]
        owner = np.repeat(np.arange(len(chosen)), lengths)
        event = spans(starts, lengths)
        context = self.tokens.firsts[event] - 1
        begin = starts[owner]
        known = (context >= begin) | (windows.whole[chosen][owner] & (context == begin - 1))
        keep = known & self.tokens.wanted[event]
        return event[keep], context[keep], owner[keep]
