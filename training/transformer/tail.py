"""The fit window's newest moments, ranked: what decides when training stops."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from features.ragged import Histories, Ragged, offsets_of, spans
from features.schema import DAY, POPULARITY_DAYS
from training.metrics.lists import against_ties, top_lists
from training.metrics.ndcg import ndcg
from training.transformer.data import FitError, Ints, Tokens

QUERIES_PER_USER = 5
"""Moments of one user, so that heavy users do not decide alone."""

Scores = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tail:
    """Moments after the training cut whose outcome is known.

    histories: events strictly before each; timestamps: int64 [n], µs; users: int64 [n];
    targets: what the user chose then; start: first µs of the tail.
    """

    histories: Histories
    timestamps: Ints
    users: Ints
    targets: Ragged
    start: int

    def __len__(self) -> int:
        return len(self.timestamps)


def split_tail(
    tokens: Tokens, organic: npt.NDArray[np.bool_], share: float, max_queries: int
) -> tuple[Tokens, Tail]:
    """(training tokens, tail): the tail is the newest `share` of events by time.

    Queries are moments with organic targets (with any, if none is organic), at most
    QUERIES_PER_USER a user and `max_queries` in all, evenly spaced. Raises FitError if nothing is
    left to train on or nothing to rank.
    """
    cut = int(np.quantile(tokens.timestamps, 1 - share, method="lower"))
    late = tokens.timestamps >= cut
    if late.all():
        raise FitError("all events of the fit window carry one timestamp: nothing to stop on")
    chosen = late & tokens.wanted
    if (chosen & organic).any():
        chosen &= organic
    moments = _spread(tokens, np.unique(tokens.firsts[chosen]), max_queries)
    if not len(moments):
        raise FitError("the tail of the fit window has no new choice to predict: ingest more data")
    starts = tokens.offsets[tokens.users[moments]]
    lengths = moments - starts
    index = spans(starts, lengths)
    histories = Histories(
        offsets_of(lengths),
        tokens.items[index],
        tokens.event_types[index],
        tokens.timestamps[index],
    )
    targets = np.flatnonzero(chosen & np.isin(tokens.firsts, moments))
    owners = np.searchsorted(moments, tokens.firsts[targets])
    counts = np.bincount(owners, minlength=len(moments))
    return tokens.select(~late), Tail(
        histories,
        tokens.timestamps[moments],
        tokens.users[moments],
        Ragged(offsets_of(counts), tokens.items[targets]),
        cut,
    )


def _spread(tokens: Tokens, moments: Ints, max_queries: int) -> Ints:
    users = tokens.users[moments]
    start = np.searchsorted(users, users)
    count = np.searchsorted(users, users, side="right") - start
    place = np.arange(len(moments)) - start
    part = place * QUERIES_PER_USER // np.maximum(count, QUERIES_PER_USER)
    moments = moments[np.diff(users * QUERIES_PER_USER + part, prepend=-1) != 0]
    if len(moments) <= max_queries:
        return moments
    return moments[np.linspace(0, len(moments) - 1, max_queries).astype(np.int64)]


def candidates(tail: Tail, created_at: Ints, repeats: bool) -> npt.NDArray[np.bool_]:
    """bool [n, catalogue]: items that existed at each moment, without those already chosen unless
    `repeats`. created_at: int64 [catalogue], µs, 0 where unknown."""
    allowed = created_at <= tail.timestamps[:, None]
    allowed[tail.targets.rows, tail.targets.items] = True
    if not repeats:
        allowed[tail.histories.rows, tail.histories.items] = False
    return allowed


def tail_ndcg(scores: Scores, tail: Tail, allowed: npt.NDArray[np.bool_], k: int = 10) -> float:
    """ndcg@k over `allowed`, user-averaged; ties count against the model.

    scores: float32 [n, catalogue]. Raises ValueError on NaN or infinity.
    """
    ranked = against_ties(np.where(allowed, scores, np.float32(-np.inf)), tail.targets)
    per_query = ndcg(top_lists(ranked, k), tail.targets)
    totals = np.bincount(tail.users, weights=per_query)
    counts = np.bincount(tail.users)
    return float((totals[counts > 0] / counts[counts > 0]).mean())


def popularity(
    tokens: Tokens, tail: Tail, catalogue_size: int, allowed: npt.NDArray[np.bool_]
) -> float:
    """ndcg@10 of recency-popularity on the tail, by the best of the windows POPULARITY_DAYS.

    Counts are as of the midnight before each moment, as the feature store would hold them.
    `tokens`: all events of the fit window.
    """
    order = np.argsort(tokens.timestamps, kind="stable")
    times, items = tokens.timestamps[order], tokens.items[order]
    midnights, snapshot = np.unique(tail.timestamps // DAY * DAY, return_inverse=True)
    best = 0.0
    for days in POPULARITY_DAYS:
        counts = np.zeros((len(midnights), catalogue_size), dtype=np.float32)
        for row, midnight in enumerate(midnights):
            begin, end = np.searchsorted(times, (midnight - days * DAY, midnight))
            counts[row] = np.bincount(items[begin:end], minlength=catalogue_size)
        best = max(best, tail_ndcg(counts[snapshot], tail, allowed))
    return best


def new_item_shares(
    scores: Scores, tail: Tail, allowed: npt.NDArray[np.bool_], new: npt.NDArray[np.bool_]
) -> tuple[float, float]:
    """(predicted, actual) share of choices that fall on `new` items (bool [catalogue]).

    Calibrated scores of items without an id make the two agree. `predicted` is the mean softmax
    probability over `allowed`.
    """
    masked = np.where(allowed, scores, -np.inf).astype(np.float64)
    odds = np.exp(masked - masked.max(axis=1, keepdims=True))
    predicted = odds[:, new].sum(axis=1) / odds.sum(axis=1)
    return float(predicted.mean()), float(new[tail.targets.items].mean())
