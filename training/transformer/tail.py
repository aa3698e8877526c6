"""Rank the newest moments of the fit window (the tail), to decide when training stops."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import numpy as np

from base.arrays import Bools, Int64s, Scores
from features.ragged import Histories, Ragged, gather, offsets_of
from features.schema import DAY, POPULARITY_DAYS
from features.splits.judged import first_of_parts
from features.splits.windowing import SplitParams
from training.metrics.lists import top_lists
from training.metrics.ndcg import ndcg
from training.transformer.data import FitError, Tokens, chunks

QUERIES_PER_USER: Final = SplitParams.max_queries_per_user
"""Moments per user, so that heavy users do not dominate."""

CHUNK_SCORES: Final = 2**26
"""Scores ranked at a time: 256 MB, and about three times that during ranking."""

Array = TypeVar("Array", Scores, Bools, covariant=True)


class Rows(Protocol[Array]):
    """A [n, catalogue] array, either complete or computed a few rows at a time."""

    def __getitem__(self, rows: slice, /) -> Array: ...


@dataclass(frozen=True)
class Lazy(Generic[Array]):
    """Rows that `make` computes when they are read."""

    make: Callable[[slice], Array]

    def __getitem__(self, rows: slice, /) -> Array:
        return self.make(rows)


@dataclass(frozen=True)
class Tail:
    """Moments after the training cut with a known outcome.

    histories: events strictly before each; timestamps: int64 [n], µs; users: int64 [n]; targets:
    what the user chose then; start: first µs of the tail.
    """

    histories: Histories
    timestamps: Int64s
    users: Int64s
    targets: Ragged
    start: int

    def __len__(self) -> int:
        return len(self.timestamps)

    def part(self, rows: slice) -> "Tail":
        """Only the queries `rows`."""
        index = np.arange(len(self))[rows]
        chosen, offsets = gather(self.targets.offsets, index)
        return Tail(
            self.histories.select(index),
            self.timestamps[rows],
            self.users[rows],
            Ragged(offsets, self.targets.items[chosen]),
            self.start,
        )


def split_tail(
    tokens: Tokens, organic: Bools, share: float, max_queries: int
) -> tuple[Tokens, Tail]:
    """(training tokens, tail), where the tail is the newest `share` of events by time.

    Queries are moments with organic targets (any targets, if there are no organic ones), at most
    QUERIES_PER_USER per user and `max_queries` in total, evenly spaced. Raises FitError if nothing
    is left to train on, or nothing to rank.
    """
    cut = int(np.quantile(tokens.timestamps, 1 - share, method="lower"))
    late = tokens.timestamps >= cut
    if late.all():
        raise FitError("all events of the fit window carry one timestamp: nothing to stop on")
    chosen = late & tokens.wanted
    if (chosen & organic).any():
        chosen &= organic
    targets = np.flatnonzero(chosen)
    begun = tokens.moments_of(targets)
    moments = _spread(tokens, np.unique(begun), max_queries)
    if not len(moments):
        raise FitError("the tail of the fit window has no new choice to predict: ingest more data")
    users = tokens.users_of(moments)
    asked = np.isin(begun, moments)
    targets, begun = targets[asked], begun[asked]
    counts = np.bincount(np.searchsorted(moments, begun), minlength=len(moments))
    return tokens.select(~late), Tail(
        tokens.before(moments),
        tokens.timestamps[moments],
        users,
        Ragged(offsets_of(counts), tokens.items[targets]),
        cut,
    )


def _spread(tokens: Tokens, moments: Int64s, max_queries: int) -> Int64s:
    moments = moments[first_of_parts(tokens.users_of(moments), QUERIES_PER_USER)]
    if len(moments) <= max_queries:
        return moments
    return moments[np.linspace(0, len(moments) - 1, max_queries).astype(np.int64)]


def candidates(tail: Tail, created_at: Int64s, repeats: bool) -> Bools:
    """bool [n, catalogue]: items that existed at each moment and, unless `repeats`, were not chosen
    before.

    created_at: int64 [catalogue], µs, 0 where unknown.
    """
    allowed = created_at <= tail.timestamps[:, None]
    allowed[tail.targets.rows, tail.targets.items] = True
    if not repeats:
        allowed[tail.histories.rows, tail.histories.items] = False
    return allowed


def lazy_candidates(tail: Tail, created_at: Int64s, repeats: bool) -> Lazy[Bools]:
    """Like `candidates`, but computed when read, for catalogues too large to hold n times in
    memory."""
    return Lazy(lambda rows: candidates(tail.part(rows), created_at, repeats))


def _parts(
    scores: Rows[Scores], tail: Tail, allowed: Rows[Bools]
) -> Iterator[tuple[Scores, Ragged]]:
    """Scores (−inf where not allowed) and targets, in parts of at most CHUNK_SCORES scores."""
    catalogue_size = allowed[:0].shape[1]
    for rows in chunks(len(tail), max(1, CHUNK_SCORES // catalogue_size)):
        masked = np.where(allowed[rows], scores[rows], np.float32(-np.inf))
        yield masked, tail.part(rows).targets


def tail_ndcg(scores: Rows[Scores], tail: Tail, allowed: Rows[Bools], k: int = 10) -> float:
    """ndcg@k over `allowed`, averaged by user. Ties count against the model.

    scores: float32 [n, catalogue]. Raises ValueError on NaN or infinity.
    """
    per_query = []
    for part, targets in _parts(scores, tail, allowed):
        # Faster than `against_ties`, which searches all columns: here a target is its own column.
        own = part[targets.rows, targets.items]
        lower = np.nextafter(own, np.float32(-np.inf), dtype=np.float32)
        part[targets.rows, targets.items] = np.where(np.isfinite(own), lower, own)
        per_query.append(ndcg(top_lists(part, k), targets))
    totals = np.bincount(tail.users, weights=np.concatenate(per_query))
    counts = np.bincount(tail.users)
    return float((totals[counts > 0] / counts[counts > 0]).mean())


def popularity(tokens: Tokens, tail: Tail, catalogue_size: int, allowed: Rows[Bools]) -> float:
    """ndcg@10 of recency-popularity on the tail, with the best of the windows POPULARITY_DAYS.

    Counts are those of the midnight before each moment, as the feature store would hold them.
    tokens: all events of the fit window.
    """
    midnights, snapshot = np.unique(tail.timestamps // DAY * DAY, return_inverse=True)
    recent = tokens.timestamps >= midnights[0] - max(POPULARITY_DAYS) * DAY
    times, items = tokens.timestamps[recent], tokens.items[recent]
    order = np.argsort(times, kind="stable")
    times, items = times[order], items[order]

    def scores(days: int) -> Lazy[Scores]:
        counts = np.zeros((len(midnights), catalogue_size), dtype=np.float32)
        for row, midnight in enumerate(midnights):
            begin, end = np.searchsorted(times, (midnight - days * DAY, midnight))
            counts[row] = np.bincount(items[begin:end], minlength=catalogue_size)
        return Lazy(lambda rows: counts[snapshot[rows]])

    return max(tail_ndcg(scores(days), tail, allowed) for days in POPULARITY_DAYS)


def new_item_shares(
    scores: Rows[Scores], tail: Tail, allowed: Rows[Bools], new: Bools
) -> tuple[float, float]:
    """(predicted, actual) share of choices that fall on `new` items (bool [catalogue]).

    If scores of items without an id are calibrated, the two agree. `predicted` is the mean softmax
    probability over `allowed`.
    """
    predicted = []
    for part, _ in _parts(scores, tail, allowed):
        masked = part.astype(np.float64)
        masked -= masked.max(axis=1, keepdims=True)
        odds = np.exp(masked, out=masked)
        predicted.append(odds[:, new].sum(axis=1) / odds.sum(axis=1))
    return float(np.concatenate(predicted).mean()), float(new[tail.targets.items].mean())
