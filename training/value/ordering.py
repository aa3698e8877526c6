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

    def index(self, catalogue: int) -> "RankIndex":
        """The ranks by request and item. catalogue: number of items."""
        rows, ranks = np.nonzero(self.items >= 0)
        keys = rows.astype(np.int64) * catalogue + self.items[rows, ranks]
        order = np.argsort(keys, kind="stable")
        return RankIndex(keys[order], ranks[order])

    def select(self, rows: Int64s) -> "Ordering":
        """The requests of `rows`, in that order."""
        return Ordering(self.items[rows])


@dataclass(frozen=True)
class RankIndex:
    """The ranks of an ordering, to be looked up.

    keys: int64 [m], request · catalogue + item of all candidates, ascending; ranks: int64 [m], from
    0.
    """

    keys: Int64s
    ranks: Int64s

    def of(self, keys: Int64s) -> Int64s:
        """Rank of the items of `keys`, −1 if no candidate."""
        if not len(self.keys):
            return np.full(len(keys), -1)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, self.ranks[place], -1)
