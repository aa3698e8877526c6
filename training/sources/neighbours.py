"""Item neighbours: cosine similarity of two items by their users, shrunk for rare items.

Sarwar et al., "Item-based collaborative filtering recommendation algorithms" (2001); shrinkage as
in Bell and Koren (2007). As a DVC stage: `python -m training.sources.neighbours data/split
data/sources/neighbours`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from base.arrays import Bools, Float32s, Float64s, Int32s, Scores
from base.params import Float, Int
from features.items.catalogue import Catalogue
from features.schema import DAY
from training.sources.asked import Asked
from training.sources.log import Log
from training.sources.source import MEMORY, Source
from training.sources.stage import run

#: Newest events per user that count. The number of pairs grows with the square of this, and even
#: the most active readers need no more.
NEWEST: Final = 3_000
#: Memory per pair of items of one user that are processed together, roughly.
PAIR_BYTES: Final = 50


@dataclass(frozen=True)
class NeighbourParams:
    """Section `neighbours`."""

    count: Int = 50
    """Similar items kept per item."""

    shrinkage: Float = 2.0
    """Added to the product of the norms of two items.

    A higher value demands more evidence for a pair.
    """

    half_life_days: Float = 30.0
    """Age, in days, at which an event's weight in the similarity halves."""


@dataclass(frozen=True)
class Neighbours(Source):
    """The most similar items of each trained item. Candidates are scored by their similarity to
    recent items.

    items: int32 [trained, N], padded with -1; weights: float32 [trained, N]; events: int32
    [trained], how often each item was chosen before the rank window.
    """

    items: Int32s
    weights: Float32s
    events: Int32s

    name = "neighbours"
    params = NeighbourParams
    stage = "neighbours"
    bounded = True
    silent_at_zero = True
    scores_new_users = False
    scores_new_items = False
    judged = True

    @classmethod
    def fit(cls, log: Log, until: int, params: NeighbourParams, memory: int = MEMORY) -> Self:
        events = log.events(until)
        return cls(
            *build_neighbours(
                events.users,
                events.items,
                (until - events.timestamps) / DAY,
                events.known_items,
                params,
                memory,
            )
        )

    def attach(self, catalogue: Catalogue) -> "AttachedNeighbours":
        return AttachedNeighbours(self.matrix(len(catalogue)))

    def matrix(self, catalogue_size: int) -> sparse.csr_matrix:
        """float32 [catalogue, catalogue]. Rows of items unknown in training are empty."""
        kept = self.items >= 0
        lengths = np.zeros(catalogue_size, dtype=np.int64)
        lengths[: len(self.items)] = kept.sum(axis=1)
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        return sparse.csr_matrix(
            (self.weights[kept], self.items[kept], offsets), shape=(catalogue_size, catalogue_size)
        )

    def new_items(self, catalogue_size: int) -> Bools:
        """bool [catalogue]: items that nobody had chosen before training."""
        new = np.ones(catalogue_size, dtype=np.bool_)
        new[: len(self.events)] = self.events == 0
        return new


@dataclass(frozen=True)
class AttachedNeighbours:
    """Neighbours of one catalogue.

    matrix: float32 sparse [catalogue, catalogue], see `Neighbours.matrix`.
    """

    matrix: sparse.csr_matrix

    def scores(self, asked: Asked) -> Scores:
        scores: Scores = (asked.recent @ self.matrix).toarray()
        return scores


def build_neighbours(
    users: Int32s,
    items: Int32s,
    ages: Float64s,
    catalogue_size: int,
    params: NeighbourParams,
    memory: int = MEMORY,
) -> tuple[Int32s, Float32s, Int32s]:
    """The arrays of `Neighbours`, from positive events [events], oldest first for each user.

    Only the NEWEST events of each user count. ages: days from the event to the end of the window.
    The weight of an event halves every `half_life_days` and falls with the number of the user's
    events (1 / log2(2 + events)), so that neither old tastes nor very active accounts dominate.
    memory: see `Source.fit`.
    """
    events_of_user = np.bincount(users)
    weights = np.power(0.5, ages / params.half_life_days) / np.log2(2.0 + events_of_user[users])
    events = np.bincount(items, minlength=catalogue_size).astype(np.int32)
    kept = _newest(users, events_of_user)
    users, items, weights = users[kept], items[kept], weights[kept]
    matrix = sparse.csr_matrix(
        (weights, (users, items)), shape=(len(events_of_user), catalogue_size), dtype=np.float64
    )
    norms = np.sqrt(np.bincount(matrix.indices, matrix.data**2, catalogue_size))
    columns = matrix.T.tocsr()
    had = np.diff(matrix.indptr)
    pairs = np.bincount(matrix.indices, np.repeat(had, had), catalogue_size)
    best, strength = [], []
    for rows in _parts(pairs, memory // PAIR_BYTES):
        together = (columns[rows] @ matrix).tocoo()
        other = together.row + rows.start != together.col
        row, column, weight = together.row[other], together.col[other], together.data[other]
        similarity = weight / (norms[row + rows.start] * norms[column] + params.shrinkage)
        found = _best(row, column, similarity, rows.stop - rows.start, params.count)
        best.append(found[0])
        strength.append(found[1])
    nothing = np.zeros((0, params.count))
    return (
        np.concatenate([nothing, *best]).astype(np.int32),
        np.concatenate([nothing, *strength]).astype(np.float32),
        events,
    )


def _newest(users: Int32s, events_of_user: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """bool [events]: whether an event is among the NEWEST of its user."""
    place = np.empty(len(users), dtype=np.int64)
    by_user = np.argsort(users, kind="stable")
    place[by_user] = np.arange(len(users))
    from_the_end = np.cumsum(events_of_user)[users] - place
    kept: Bools = from_the_end <= NEWEST
    return kept


def _parts(pairs: npt.NDArray[Any], together: int) -> Iterator[slice]:
    """Slices of consecutive items that have about `together` pairs in total.

    pairs: number of pairs per item.
    """
    part = (np.cumsum(pairs) // together).astype(np.int64)
    starts = np.flatnonzero(np.diff(part, prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(pairs)], strict=False):
        yield slice(int(start), int(stop))


def _best(
    rows: Int32s,
    columns: Int32s,
    similarity: Float64s,
    catalogue_size: int,
    count: int,
) -> tuple[Int32s, Float32s]:
    order = np.lexsort((columns, -similarity, rows))
    rows, columns, similarity = rows[order], columns[order], similarity[order]
    lengths = np.bincount(rows, minlength=catalogue_size)
    place = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    kept = place < count
    items = np.full((catalogue_size, count), -1, dtype=np.int32)
    weights = np.zeros((catalogue_size, count), dtype=np.float32)
    items[rows[kept], place[kept]] = columns[kept]
    weights[rows[kept], place[kept]] = similarity[kept]
    return items, weights


if __name__ == "__main__":
    run(Neighbours)
