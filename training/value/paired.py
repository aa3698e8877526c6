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
from typing import Final

import numpy as np
from scipy import sparse

from base.arrays import Float64s, Int32s, Int64s
from training.value import pbm, reward_model
from training.value.clipping import clipped
from training.value.effective import effective_share
from training.value.exposures import Exposures, Policy, exposures
from training.value.ordering import Ordering
from training.value.position_bias import position_bias

#: Exposures (slates times slots squared) from which looks by slot are estimated: a bound of memory.
_EXPOSURES: Final = 20_000_000
#: Columns of the model of clicks for an item that no release ranks.
_ABSENT: Final = reward_model.basis(np.array([-1]), np.array([-1]))


@dataclass(frozen=True)
class Target:
    """A release whose value is asked for: its candidates, and how its policy draws from them."""

    ordering: Ordering
    policy: Policy

    def select(self, rows: Int64s) -> "Target":
        """The same for the requests `rows`, in that order."""
        return Target(self.ordering.select(rows), self.policy)

    def beside(self, other: "Target") -> "Target":
        """The same, with the very ordering of `other` if the two have the same candidates."""
        alike = np.array_equal(self.ordering.items, other.ordering.items)
        return Target(other.ordering, self.policy) if alike else self

    @property
    def key(self) -> tuple[int, Policy]:
        """Equal for targets with the same ordering, as an object, and the same policy."""
        return id(self.ordering), self.policy


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
    shown: Shown,
    first: Target,
    second: Target,
    catalogue: int,
    clip: float,
    categories: sparse.csr_matrix | None = None,
) -> Earned:
    """The clicks per slate of two releases.

    catalogue: number of items; clip: largest weight of a click, above 1; categories: of the items,
    needed if one of the policies has a diversity penalty.
    """
    rows, slots = np.nonzero(shown.items >= 0)
    shown_keys = rows.astype(np.int64) * catalogue + shown.items[rows, slots]
    served = Target(shown.ordering, shown.policy)
    # Who served is mostly one of the two, and then needs no work of its own.
    first, second = first.beside(served), second.beside(served)
    orderings = {id(each.ordering): each.ordering for each in (served, first, second)}
    indices = {key: ordering.index(catalogue) for key, ordering in orderings.items()}
    keys = _distinct(np.concatenate([shown_keys, *(index.keys for index in indices.values())]))
    row = keys // catalogue
    # Items can have become eligible after the request, as far as the log knows today.
    counts = [ordering.counts for ordering in orderings.values()]
    eligible: Int64s = np.maximum.reduce([shown.eligible, *counts])
    size = shown.items.shape[1]
    exposed = {
        each.key: exposures(each.ordering, eligible, size, each.policy, categories)
        for each in {each.key: each for each in (served, first, second)}.values()
    }
    place = np.searchsorted(keys, shown_keys)
    rank = {key: index.of(keys) for key, index in indices.items()}
    ranks = [rank[id(each.ordering)] for each in (served, first, second)]
    looks = _position_bias(shown, exposed[served.key], rows, slots, ranks[0][place])
    seen = {key: each.looks(looks) for key, each in exposed.items()}
    looked = [seen[each.key] for each in (served, first, second)]
    weight = [table.of(row, mine) for table, mine in zip(looked, ranks, strict=True)]
    log = _Log(
        rows=rows,
        clicks=shown.clicks[rows, slots],
        looks=looks[slots],
        place=place,
        row=row,
        columns=reward_model.basis(ranks[1], ranks[2]),
        unranked=eligible - np.bincount(row, minlength=len(shown)),
        fold=_folds(shown.users),
    )
    predicted = _Predicted.of(log)
    effective = 1.0
    values: list[Float64s] = []
    unclear, residual = [], []
    for table, mine in zip(looked[1:], weight[1:], strict=True):
        ratio = pbm.ratio(mine[place], weight[0][place])
        kept = clipped(ratio, clip)
        effective = effective_share(kept, log.looks)
        values.append(predicted.value(mine, table.unranked, kept))
        beyond = ratio - kept
        # Over all items, since the log says nothing at all of those that it never shows.
        unsaid = np.maximum(mine - clip * weight[0], 0.0).sum()
        unclear.append(float(unsaid / max(looks.sum() * len(shown), 1e-12)))
        residual.append(float((beyond * predicted.missed).sum() / max(len(shown), 1)))
    return Earned(
        shown.users,
        values[0],
        values[1],
        (unclear[0], unclear[1]),
        (residual[0], residual[1]),
        effective,
    )


@dataclass(frozen=True)
class _Log:
    """Shown slots, and all items that any of the releases could show.

    By shown slot: rows, its slate; clicks; looks, how often it is looked at; place, its item's
    place among all items. By item of a slate: row, its slate; columns of the model of clicks. By
    slate: unranked, number of other eligible items; fold, the group of its user.
    """

    rows: Int64s
    clicks: Float64s
    looks: Float64s
    place: Int64s
    row: Int64s
    columns: Float64s
    unranked: Int64s
    fold: Int64s


@dataclass(frozen=True)
class _Predicted:
    """Predictions of models that were fitted on the slates of other users.

    clicks: by item of a slate; elsewhere: by slate, for items that nobody ranks; missed: by shown
    slot, clicks minus what was predicted.
    """

    log: _Log
    models: tuple[reward_model.Model, ...]
    clicks: Float64s
    elsewhere: Float64s
    missed: Float64s

    @staticmethod
    def of(log: _Log) -> "_Predicted":
        clicks, elsewhere = np.zeros(len(log.row)), np.zeros(len(log.fold))
        models = []
        for each in range(reward_model.FOLDS):
            others = log.fold[log.rows] != each
            shown = log.columns[log.place[others]]
            model = reward_model.fit(shown, log.clicks[others], log.looks[others])
            own = log.fold[log.row] == each
            clicks[own] = reward_model.predict(log.columns[own], model)
            elsewhere[log.fold == each] = reward_model.predict(_ABSENT, model)[0]
            models.append(model)
        missed = log.clicks - log.looks * clicks[log.place]
        return _Predicted(log, tuple(models), clicks, elsewhere, missed)

    def value(self, looked: Float64s, unranked: Float64s, kept: Float64s) -> Float64s:
        """Clicks of each slate under a release that has items looked at so often.

        looked: by item of a slate; unranked: by slate, for any other item; kept: weight by shown
        slot, at most the ratio to the policy that served.
        """
        log, slates = self.log, len(self.log.fold)
        value: Float64s = log.unranked * unranked * self.elsewhere
        value += np.bincount(log.row, weights=looked * self.clicks, minlength=slates)
        value += np.bincount(log.rows, weights=kept * self.missed, minlength=slates)
        return value + self._influence(looked, unranked, kept)

    def _influence(self, looked: Float64s, unranked: Float64s, kept: Float64s) -> Float64s:
        """What the noise of each slate's clicks does to the value of other slates by way of the
        model: float64 [slates], 0 on average.

        Where weights are clipped, the value depends on the model, and without this its error would
        look smaller than it is (the influence function of an estimate in two steps: Newey and
        McFadden, "Large sample estimation and hypothesis testing", 1994).
        """
        log = self.log
        net = looked * self.clicks
        net -= np.bincount(
            log.place, weights=kept * log.looks * self.clicks[log.place], minlength=len(net)
        )
        own = log.fold[log.row] == np.arange(len(self.models))[:, None]
        slopes = (net * own) @ log.columns
        total = np.zeros(len(log.fold))
        for each, (model, slope) in enumerate(zip(self.models, slopes, strict=True)):
            mine = log.fold == each
            absent = log.unranked[mine] * unranked[mine] * self.elsewhere[mine]
            slope += absent.sum() * _ABSENT[0]
            others = log.fold[log.rows] != each
            shown = log.columns[log.place[others]]
            missed = log.clicks[others] - log.looks[others] * reward_model.predict(shown, model)
            total += np.bincount(
                log.rows[others],
                weights=missed * (shown @ (model.spread @ slope)),
                minlength=len(total),
            )
        return total


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


def _distinct(keys: Int64s) -> Int64s:
    """The distinct keys, ascending. numpy's `unique` hashes, which takes many times as long."""
    ordered = np.sort(keys, kind="stable")  # fast, since the parts are in order
    return ordered[np.diff(ordered, prepend=ordered[:1] - 1) > 0]


def _position_bias(
    shown: Shown, exposed: Exposures, rows: Int64s, slots: Int64s, ranks: Int64s
) -> Float64s:
    """The looks of each slot, from the exposure of the shown items in all slots.

    rows, slots, ranks: int64 [m], of each shown item: its slate, its slot and its rank for who
    served.
    """
    size = shown.items.shape[1]
    step = max(-(-len(shown) * size * size // _EXPOSURES), 1)
    some = np.flatnonzero(rows % step == 0)
    by_slot = np.zeros((-(-len(shown) // step), size, size))
    by_slot[rows[some] // step, slots[some]] = exposed.by_slot(rows[some], ranks[some])
    return position_bias(by_slot, shown.clicks[::step])


def _folds(users: Int64s) -> Int64s:
    """A group for each user: int64 [n]."""
    return np.unique(users, return_inverse=True)[1].reshape(-1) % reward_model.FOLDS
