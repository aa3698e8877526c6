"""The challenger against one other release, on what decides, over all looks at that question."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from base.arrays import Bools, Float64s, Int64s, Objects
from training.evidence import Contest, Evidence, Look, Part
from training.judging import Judged
from training.thresholds import GateParams
from training.value import relative, spending
from training.value.paired import Earned

#: A smaller standard error counts as this one. Two equal releases have none.
LEAST_ERROR: Final = 1e-6


@dataclass(frozen=True)
class Scores:
    """What each of n slates (or queries) says of the challenger and of another release.

    user_ids: object [n]; timestamps: int64 [n], µs; challenger, other: float64 [n]; slices: bool
    [n] each; effective: share of n that is as good as slates without weights; clipped,
    other_clipped: see Contest; open: slates left out because outcomes can still arrive.
    """

    basis: str
    user_ids: Objects
    timestamps: Int64s
    challenger: Float64s
    other: Float64s
    slices: Mapping[str, Bools] = field(default_factory=dict)
    effective: float = 1.0
    clipped: float = 0.0
    other_clipped: float = 0.0
    open: int = 0

    @staticmethod
    def of_slates(
        earned: Earned,
        user_ids: Objects,
        timestamps: Int64s,
        slices: Mapping[str, Bools],
        open_slates: int,
    ) -> "Scores":
        """From the clicks that both releases would have earned. Arguments as for Scores."""
        return Scores(
            "slates",
            user_ids,
            timestamps,
            earned.second,
            earned.first,
            slices,
            earned.effective,
            earned.clipped[1],
            earned.clipped[0],
            open_slates,
        )

    @staticmethod
    def of_queries(
        challenger: Judged,
        other: Judged,
        metric: str,
        user_ids: Objects,
        timestamps: Int64s,
        slices: Mapping[str, Bools],
    ) -> "Scores":
        """From `metric` on the same queries."""
        mine, theirs = challenger.metrics[metric], other.metrics[metric]
        return Scores("organic", user_ids, timestamps, mine, theirs, slices)


def popularity_beside(champion: str) -> str:
    """The name of recency-popularity in contests while `champion` is served. A new champion begins
    a new count."""
    return f"popularity beside {champion}"


def contest(
    scores: Scores,
    release: str,
    fair: Bools,
    end: int,
    evidence: Evidence,
    earlier: Sequence[Evidence],
    thresholds: GateParams,
) -> Contest:
    """The contest with `release`: an id, the fingerprint of a twin's recipe, or the name of
    recency-popularity.

    fair: bool [n], slates that count (see `comparing.outside`); end: end of the judge window, µs;
    evidence: on the challenger; earlier: evidence of earlier challengers, in any order. Looks with
    the challenger's code and params are pooled, and slates that one of them has counted are left
    out.
    """
    every = [past for each in earlier for past in _against(each, release)]
    pool = sorted(
        (
            past
            for each in earlier
            if each.fingerprint == evidence.fingerprint
            for past in _against(each, release)
            if past.basis == scores.basis and math.isfinite(past.bound)
        ),
        key=lambda past: past.judged_to,
    )
    start = max((past.judged_to for past in pool), default=0)
    rows = fair & (scores.timestamps >= start)
    by_user = relative.sums(scores.challenger, scores.other, scores.user_ids, rows)
    counted = int(rows.sum())
    change = relative.change([by_user, *(past.by_user for past in pool)])
    number = max((past.number for past in every), default=0) + 1
    looks = tuple(Look(_information(past.error), past.bound) for past in pool)
    effective = scores.effective * counted
    return Contest(
        release=release,
        basis="slates" if scores.basis == "slates" else "organic",
        judged_from=max(start, evidence.windows.rank_end),
        judged_to=max(_counted_to(scores, end), start),
        by_user=dict(by_user),
        counted=counted,
        effective=effective,
        clipped=scores.clipped,
        other_clipped=scores.other_clipped,
        open=scores.open,
        change=change.mean,
        error=change.error,
        people=change.people,
        total=counted + sum(past.counted for past in pool),
        total_effective=effective + sum(past.effective for past in pool),
        looks=looks,
        number=number,
        bound=_bound(looks, change, number, thresholds) if counted else math.nan,
        slices={
            name: _part(scores, rows & chosen, [p.slices[name] for p in pool if name in p.slices])
            for name, chosen in scores.slices.items()
        },
    )


def _counted_to(scores: Scores, end: int) -> int:
    """Where the next look begins, µs: slates that are still open belong to it."""
    if scores.basis != "slates":
        return end
    return int(scores.timestamps.max(initial=-1)) + 1


def _against(evidence: Evidence, release: str) -> Iterator[Contest]:
    champion = None if evidence.champion is None else evidence.champion.contest
    for past in (champion, evidence.reference, evidence.popularity, evidence.twin):
        if past is not None and past.release == release:
            yield past


def _part(scores: Scores, rows: Bools, earlier: Sequence[Part]) -> Part:
    by_user = relative.sums(scores.challenger, scores.other, scores.user_ids, rows)
    change = relative.change([by_user, *(past.by_user for past in earlier)])
    return Part(dict(by_user), change.people, change.mean, change.error)


def _bound(
    looks: Sequence[Look], change: relative.Change, number: int, thresholds: GateParams
) -> float:
    """What the look must exceed, so that all looks at a release err with `error_rate`."""
    if not change.known:
        return math.nan
    rate, horizon = thresholds.error_rate, thresholds.horizon
    now = spending.spent(number, rate, horizon) - spending.spent(number - 1, rate, horizon)
    known = [spending.Look(look.information, look.bound) for look in looks]
    return spending.next_bound(known, _information(change.error), now)


def _information(error: float) -> float:
    return 1.0 / max(error, LEAST_ERROR) ** 2
