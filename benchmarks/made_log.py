"""A generated log of any length, written in pieces. For measuring cost, not for learning."""

from pathlib import Path
from typing import Final

import numpy as np

from base.arrays import Int64s
from features.ragged import Histories, Ragged, offsets_of, spans
from features.schema import DAY, EVENT_CODES, SECOND
from training.transformer.data import CHUNK_EVENTS, Tokens
from training.transformer.tail import Tail

SHORTEST: Final = 5
MEAN_LENGTH: Final = 100
"""Mean number of events per user. The numbers are distributed exponentially."""

SPREAD: Final = 7919
"""A prime, which spreads popular items over the catalogue."""

MEAN_GAP: Final = 3600.0
"""Mean number of seconds to a user's next event."""

START: Final = 1_700_000_000 * SECOND


def write(folder: Path, events: int, catalogue: int, seed: int) -> None:
    """Write `Tokens` with `events` events, for `Tokens.open`. Memory does not grow with their
    number.

    The n-th most popular item has a share of about 1/n (Zipf). Timestamps are whole seconds in
    order, users begin within one year, and every event may be a target.
    """
    random = np.random.default_rng(seed)
    offsets = offsets_of(_lengths(events, random))
    tokens = Tokens.create(folder, offsets)
    begin = 0
    while begin < len(offsets) - 1:
        end = int(np.searchsorted(offsets, offsets[begin] + CHUNK_EVENTS, side="right")) - 1
        end = max(end, begin + 1)
        part = slice(offsets[begin], offsets[end])
        items, types, times = _events(np.diff(offsets[begin : end + 1]), catalogue, random)
        tokens.items[part], tokens.event_types[part] = items, types
        tokens.timestamps[part], tokens.wanted[part] = times, True
        begin = end


def tail(queries: int, catalogue: int, seed: int) -> Tail:
    """Moments of additional users with one target each, to rank after training."""
    random = np.random.default_rng((seed, queries))
    lengths = np.full(queries, MEAN_LENGTH)
    items, types, times = _events(lengths + 1, catalogue, random)
    last = np.cumsum(lengths + 1) - 1
    before = spans(last - lengths, lengths)
    histories = Histories(offsets_of(lengths), items[before], types[before], times[before])
    targets = Ragged(np.arange(queries + 1), items[last])
    return Tail(histories, times[last], np.arange(queries), targets, START)


def _lengths(events: int, random: np.random.Generator) -> Int64s:
    """Lengths of histories that add up to `events`."""
    drawn = random.exponential(MEAN_LENGTH - SHORTEST, size=2 + 2 * events // MEAN_LENGTH)
    ends = np.minimum(np.cumsum(SHORTEST + drawn.astype(np.int64)), events)
    return np.diff(ends[: int(np.searchsorted(ends, events)) + 1], prepend=0)


def _events(
    lengths: Int64s, catalogue: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, Int64s]:
    """(items int32, event types int8, timestamps int64) of users with histories of these
    lengths."""
    count = int(lengths.sum())
    place = np.exp(random.random(count) * np.log(catalogue + 1)).astype(np.int64) - 1
    items = np.minimum(place, catalogue - 1) * SPREAD % catalogue
    types = random.integers(min(EVENT_CODES.values()), max(EVENT_CODES.values()) + 1, size=count)
    seconds = np.cumsum(random.exponential(MEAN_GAP, size=count).astype(np.int64))
    starts = random.integers(0, 365 * DAY // SECOND, size=len(lengths))
    first = offsets_of(lengths)[:-1]
    seconds += np.repeat(starts - seconds[first], lengths)
    return items.astype(np.int32), types.astype(np.int8), START + seconds * SECOND
