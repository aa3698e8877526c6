"""Candidates in the order of a release, and the rank of any item in it."""

from dataclasses import dataclass

import numpy as np

from base.arrays import Float32s, Int32s, Int64s


@dataclass(frozen=True)
class Ordering:
    """Candidates of n requests, best first, as the policy ranks them.

    items: int32 [n, C], −1 where there are fewer.
    """

    items: Int32s

    @staticmethod
    def of(scores: Float32s, candidates: Int32s) -> "Ordering":
        """From scores [n, C], −inf where padded. Equal scores keep the order of the columns."""
        alive = (candidates >= 0) & np.isfinite(scores)
        order = np.argsort(np.where(alive, -scores, np.inf), axis=1, kind="stable")
        kept = np.take_along_axis(alive, order, axis=1)
        items = np.take_along_axis(candidates, order, axis=1)
        return Ordering(np.where(kept, items, -1).astype(np.int32))

    @property
    def counts(self) -> Int64s:
        """Number of candidates of each request, int64 [n]."""
        counts: Int64s = (self.items >= 0).sum(axis=1)
        return counts

    def keys(self, catalogue: int) -> tuple[Int64s, Int64s]:
        """request · catalogue + item of all candidates, ascending, and the rank of each."""
        rows, ranks = np.nonzero(self.items >= 0)
        keys = rows.astype(np.int64) * catalogue + self.items[rows, ranks]
        order = np.argsort(keys, kind="stable")
        return keys[order], ranks[order]

    def ranks(self, keys: Int64s, catalogue: int) -> Int64s:
        """Rank (from 0) of the items of `keys` (request · catalogue + item), −1 if no candidate."""
        known, ranks = self.keys(catalogue)
        if not len(known):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[place] == keys, ranks[place], -1)

    def select(self, rows: Int64s) -> "Ordering":
        """The requests of `rows`, in that order."""
        return Ordering(self.items[rows])
