"""Candidates: the best of each source, united. What may not be shown is never among them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from features.items.catalogue import Catalogue
from features.requests.requests import Requests

#: In bit order: source `s` of a candidate is `1 << SOURCES.index(s)`. Only ever append.
SOURCES: Final = ("transformer", "neighbours", "content", "popularity", "fresh")

#: Sources whose score of 0 means "says nothing about this item", not "least liked".
_SILENT_AT_ZERO: Final = frozenset({"neighbours", "content", "fresh"})

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Candidates:
    """items: int32 [n, C], -1 pad, by index; sources: uint8 [n, C], bits of `SOURCES`."""

    items: npt.NDArray[np.int32]
    sources: npt.NDArray[np.uint8]


def eligible_items(
    catalogue: Catalogue, requests: Requests, repeats: bool
) -> npt.NDArray[np.bool_]:
    """bool [n, catalogue]: what may be shown (`allowed_items`) and is not excluded.

    It is asked before retrieval, so that every source fills up with its next best items.
    """
    return without_excluded(allowed_items(catalogue, requests, repeats), requests)


def allowed_items(catalogue: Catalogue, requests: Requests, repeats: bool) -> npt.NDArray[np.bool_]:
    """bool [n, catalogue]: available and created as known at each request, not hidden and, without
    `repeats`, not seen. The only place that says what may not be shown to anybody who asks."""
    allowed = catalogue.eligible(requests.timestamps)
    allowed[requests.hidden.rows, requests.hidden.items] = False
    if not repeats:
        allowed[requests.histories.rows, requests.histories.items] = False
    return allowed


def without_excluded(allowed: npt.NDArray[np.bool_], requests: Requests) -> npt.NDArray[np.bool_]:
    """`allowed`, bool [n, catalogue], but for what each request excludes."""
    excluded = requests.excluded
    if excluded is None or not len(excluded.items):
        return allowed
    eligible = allowed.copy()
    eligible[excluded.rows, excluded.items] = False
    return eligible


def masked(scores: Scores, eligible: npt.NDArray[np.bool_]) -> Scores:
    """The scores with -inf where an item may not be shown."""
    return np.where(eligible, scores, np.float32(-np.inf))


def unite(
    scores: dict[str, Scores], eligible: npt.NDArray[np.bool_], per_source: int
) -> Candidates:
    """The `per_source` best eligible items of every source in `scores`, float32 [n, catalogue]."""
    n, size = eligible.shape
    bits = np.zeros((n, size), dtype=np.uint8)
    for name, dense in scores.items():
        allowed = masked(dense, eligible)
        found = allowed > (0.0 if name in _SILENT_AT_ZERO else -np.inf)
        if size > per_source:
            found &= _best(allowed, per_source)
        bits[found] |= 1 << SOURCES.index(name)
    rows, items = np.nonzero(bits)
    lengths = np.bincount(rows, minlength=n)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    width = int(lengths.max(initial=0))
    united = np.full((n, width), -1, dtype=np.int32)
    sources = np.zeros((n, width), dtype=np.uint8)
    united[rows, places] = items
    sources[rows, places] = bits[rows, items]
    return Candidates(united, sources)


def _best(scores: Scores, count: int) -> npt.NDArray[np.bool_]:
    """The `count` highest of each row, fewer than it has. Of equals the first, so that an item
    which comes later displaces none."""
    least = np.partition(scores, -count, axis=1)[:, -count, None]
    best = scores > least
    wanted = count - best.sum(axis=1)
    for row in range(len(scores)):
        equal = np.flatnonzero(scores[row] == least[row])
        best[row, equal[: wanted[row]]] = True
    return best
