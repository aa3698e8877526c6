"""Candidates: the union of the best items of each source, without items that may not be shown."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from base.arrays import Bools, Int32s, Scores
from training.eligible import masked
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
        found = allowed > (0.0 if source.silent_at_zero else -np.inf)
        if size > per_source:
            found &= _best(allowed, per_source)
        bits[found] |= 1 << place
    rows, items = np.nonzero(bits)
    lengths = np.bincount(rows, minlength=n)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    width = int(lengths.max(initial=0))
    united = np.full((n, width), -1, dtype=np.int32)
    sources = np.zeros((n, width), dtype=np.uint8)
    united[rows, places] = items
    sources[rows, places] = bits[rows, items]
    return Candidates(united, sources)


def _best(scores: Scores, count: int) -> Bools:
    """Mark the `count` highest scores of each row; `count` is smaller than the row.

    Among equal scores the first items are taken, so that adding items at the end changes nothing.
    """
    least = np.partition(scores, -count, axis=1)[:, -count, None]
    best = scores > least
    wanted = count - best.sum(axis=1)
    for row in range(len(scores)):
        equal = np.flatnonzero(scores[row] == least[row])
        best[row, equal[: wanted[row]]] = True
    return best
