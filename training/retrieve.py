"""Candidates: the union of the best items of each source, without items that may not be shown."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from base.arrays import Bools, Int32s, Scores
from training.eligible import masked
from training.metrics.lists import best_columns
from training.sources.all import SOURCES


@dataclass(frozen=True)
class Candidates:
    """The candidates of n requests.

    items: int32 [n, C], index, padded with -1; sources: uint8 [n, C], one bit for each source that
    found the item: `1 << s` for position `s` in `SOURCES`.
    """

    items: Int32s
    sources: npt.NDArray[np.uint8]


def unite(scores: dict[str, Scores], eligible: Bools, per_source: int) -> Candidates:
    """Take the `per_source` best eligible items of every source in `scores`, float32 [n,
    catalogue]."""
    n, size = eligible.shape
    bits = np.zeros((n, size), dtype=np.uint8)
    for place, source in enumerate(SOURCES):
        if source.name not in scores:
            continue
        allowed = masked(scores[source.name], eligible)
        # Among equal scores the first items are taken, so items added at the end change nothing.
        best = best_columns(allowed, per_source)
        found = np.take_along_axis(allowed, best, 1) > (0.0 if source.silent_at_zero else -np.inf)
        bits[np.nonzero(found)[0], best[found]] |= 1 << place
    rows, items = np.nonzero(bits)
    lengths = np.bincount(rows, minlength=n)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    width = int(lengths.max(initial=0))
    united = np.full((n, width), -1, dtype=np.int32)
    sources = np.zeros((n, width), dtype=np.uint8)
    united[rows, places] = items
    sources[rows, places] = bits[rows, items]
    return Candidates(united, sources)
