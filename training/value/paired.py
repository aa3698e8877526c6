"""What two releases would have earned on the same slates, whoever served them.

A slot is looked at with a probability that depends on its position only, and then clicked with one
that depends on the item only (the position-based model: Richardson, Dominowska and Ragno, WWW
2007). So a click on an item counts for a release in proportion to how often the release would have
had the item looked at, relative to the policy that served (Li, Abbasi-Yadkori, Kveton,
Muthukrishnan, Vinay and Wen, "Offline evaluation of ranking policies with click models", KDD 2018).
A model of clicks takes over what is known without the log (doubly robust: Dudík, Langford and Li,
ICML 2011), and also the weight above `clip`, about which the log says too little (Su, Dimakopoulou,
Krishnamurthy and Dudík, "Doubly robust off-policy evaluation with shrinkage", ICML 2020).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from base.arrays import Float64s, Int32s, Int64s
from training.value import reward_model
from training.value.exposure import exposure
from training.value.ordering import Ordering
from training.value.position_bias import position_bias

#: Exposures (slates times slots squared) from which looks by slot are estimated: a bound of memory.
_EXPOSURES: Final = 20_000_000


@dataclass(frozen=True)
class Policy:
    """The policy that draws from an ordering (section `policy` of `params.yaml`)."""

    temperature: float
    epsilon: float


@dataclass(frozen=True)
class Shown:
    """Slates as they were served, n of k slots.

    users: int64 [n]; items: int32 [n, k], −1 where empty; clicks: float64 [n, k]; eligible: int64
    [n], number of items that could have been shown; ordering: the candidates of who served; policy:
    how they were drawn.
    """

    users: Int64s
    items: Int32s
    clicks: Float64s
    eligible: Int64s
    ordering: Ordering
    policy: Policy

    def __len__(self) -> int:
        return len(self.users)

    def select(self, rows: Int64s) -> "Shown":
        """The slates of `rows`, in that order."""
        return Shown(
            self.users[rows],
            self.items[rows],
            self.clicks[rows],
            self.eligible[rows],
            self.ordering.select(rows),
            self.policy,
        )


@dataclass(frozen=True)
class Earned:
    """What each slate says of two releases, float64 [n] clicks per slate each.

    clipped: for each release, the share of its looks that the log says too little about and the
    model of clicks answers for; residual: the clicks per slate that this leaves out, by the log;
    effective: share of the slates that would tell as much of the second release if it had served
    them (Kish, "Survey sampling", 1965).
    """

    users: Int64s
    first: Float64s
    second: Float64s
    clipped: tuple[float, float]
    residual: tuple[float, float]
    effective: float


def earned(
    shown: Shown, first: Ordering, second: Ordering, policy: Policy, catalogue: int, clip: float
) -> Earned:
    """The clicks per slate of two releases whose candidates are `first` and `second`.

    policy: of both; catalogue: number of items; clip: largest weight of a click, above 1.
    """
    rows, slots = np.nonzero(shown.items >= 0)
    shown_keys = rows.astype(np.int64) * catalogue + shown.items[rows, slots]
    orderings = (shown.ordering, first, second)
    keys = np.unique(np.concatenate([shown_keys, *(o.keys(catalogue)[0] for o in orderings)]))
    row = keys // catalogue
    # Items can have become eligible after the request, as far as the log knows today.
    counts = [ordering.counts for ordering in orderings]
    eligible: Int64s = np.maximum.reduce([shown.eligible, *counts])
    looks = _position_bias(shown)
    ranks = [ordering.ranks(keys, catalogue) for ordering in orderings]
    policies = (shown.policy, policy, policy)
    looked = [
        _looks(count, eligible, each, looks) for count, each in zip(counts, policies, strict=True)
    ]
    weight = [table.of(row, rank) for table, rank in zip(looked, ranks, strict=True)]
    place = np.searchsorted(keys, shown_keys)
    clicks, looks_at = shown.clicks[rows, slots], looks[slots]
    columns = reward_model.basis(ranks[1], ranks[2])
    fold = _folds(shown.users)
    predicted, elsewhere = np.zeros(len(keys)), np.zeros(len(shown))
    absent = reward_model.basis(np.array([-1]), np.array([-1]))
    for each in range(reward_model.FOLDS):
        others = fold[rows] != each
        model = reward_model.fit(columns[place[others]], clicks[others], looks_at[others])
        own = fold[row] == each
        predicted[own] = reward_model.predict(columns[own], model)
        elsewhere[fold == each] = reward_model.predict(absent, model)[0]
    unranked = eligible - np.bincount(row, minlength=len(shown))
    missed = clicks - looks_at * predicted[place]
    effective = 1.0
    values: list[Float64s] = []
    clipped, residual = [], []
    for table, mine in zip(looked[1:], weight[1:], strict=True):
        ratio = mine[place] / weight[0][place]
        kept = np.minimum(ratio, clip)
        effective = _effective(kept, looks_at)
        value: Float64s = unranked * table.unranked * elsewhere
        value += np.bincount(row, weights=mine * predicted, minlength=len(shown))
        value += np.bincount(rows, weights=kept * missed, minlength=len(shown))
        values.append(value)
        beyond = (ratio - kept) * looks_at
        clipped.append(float(beyond.sum() / max(looks.sum() * len(shown), 1e-12)))
        residual.append(float(((ratio - kept) * missed).sum() / max(len(shown), 1)))
    return Earned(
        shown.users,
        values[0],
        values[1],
        (clipped[0], clipped[1]),
        (residual[0], residual[1]),
        effective,
    )


def joined(parts: Sequence[tuple[Int64s, Earned]], slates: int) -> Earned:
    """One result from those of disjoint groups of slates, given with the rows of each."""
    users = np.zeros(slates, dtype=np.int64)
    first, second = np.zeros(slates), np.zeros(slates)
    for rows, part in parts:
        users[rows], first[rows], second[rows] = part.users, part.first, part.second

    def mean(values: Sequence[float]) -> float:
        weighted = (len(rows) * v for (rows, _), v in zip(parts, values, strict=True))
        return float(sum(weighted)) / max(slates, 1)

    return Earned(
        users,
        first,
        second,
        (mean([p.clipped[0] for _, p in parts]), mean([p.clipped[1] for _, p in parts])),
        (mean([p.residual[0] for _, p in parts]), mean([p.residual[1] for _, p in parts])),
        mean([part.effective for _, part in parts]),
    )


def _position_bias(shown: Shown) -> Float64s:
    """The looks of each slot, from the exposure of the shown items in all slots."""
    size = shown.items.shape[1]
    step = -(-len(shown) * size * size // _EXPOSURES)
    shown = shown.select(np.arange(0, len(shown), max(step, 1)))
    rows, slots = np.nonzero(shown.items >= 0)
    width = max(int(shown.items.max(initial=0)), int(shown.ordering.items.max(initial=0))) + 1
    ranks = shown.ordering.ranks(rows * width + shown.items[rows, slots], width)
    exposures = np.zeros((len(shown), size, size))
    counts = shown.ordering.counts
    pairs, group = _groups(counts, np.maximum(shown.eligible, counts))
    order = np.argsort(group[rows], kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(group[rows], minlength=len(pairs)))[:-1])
    for (count, eligible), here in zip(pairs, parts, strict=True):
        table = exposure(count, eligible, size, shown.policy.temperature, shown.policy.epsilon)
        whole = np.vstack([table.ranked, table.explored])
        exposures[rows[here], slots[here]] = whole[ranks[here]]
    return position_bias(exposures, shown.clicks)


@dataclass(frozen=True)
class _Looks:
    """Expected looks by rank of many requests.

    values: float64, the tables of all distinct requests, one after the other; start: int64 [n], of
    each request's; unranked: float64 [n], of an item that is no candidate.
    """

    values: Float64s
    start: Int64s
    unranked: Float64s

    def of(self, rows: Int64s, ranks: Int64s) -> Float64s:
        """Expected looks of items of requests `rows` with these ranks (−1: no candidate)."""
        found = self.values[self.start[rows] + np.maximum(ranks, 0)]
        return np.where(ranks >= 0, found, self.unranked[rows])


def _looks(counts: Int64s, eligible: Int64s, policy: Policy, looks: Float64s) -> _Looks:
    pairs, group = _groups(counts, eligible)
    shape = tuple(looks.tolist())
    tables = [_table(c, e, policy.temperature, policy.epsilon, shape) for c, e in pairs]
    lengths = np.array([len(ranked) + 1 for ranked, _ in tables])
    starts = np.cumsum(lengths) - lengths
    values = np.concatenate([np.append(ranked, 0.0) for ranked, _ in tables])
    unranked = np.array([explored for _, explored in tables])
    return _Looks(values, starts[group], unranked[group])


@lru_cache(maxsize=16384)
def _table(
    candidates: int, eligible: int, temperature: float, epsilon: float, looks: tuple[float, ...]
) -> tuple[Float64s, float]:
    table = exposure(candidates, eligible, len(looks), temperature, epsilon)
    return table.ranked @ np.array(looks), float(table.explored @ np.array(looks))


def _groups(counts: Int64s, eligible: Int64s) -> tuple[list[tuple[int, int]], Int64s]:
    """The distinct pairs, and which of them each request has."""
    pairs, group = np.unique(np.stack([counts, eligible], axis=1), axis=0, return_inverse=True)
    return [(int(c), int(e)) for c, e in pairs], group.reshape(-1)


def _effective(weights: Float64s, looks: Float64s) -> float:
    """Effective share of looks that have these weights, float64 [shown] each."""
    squares = float((looks * weights**2).sum()) * float(looks.sum())
    return float((looks * weights).sum()) ** 2 / squares if squares > 0 else 0.0


def _folds(users: Int64s) -> Int64s:
    """A group for each user: int64 [n]."""
    return np.unique(users, return_inverse=True)[1].reshape(-1) % reward_model.FOLDS
