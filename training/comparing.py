"""Compare the challenger with the champion and past releases on the same queries."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from base.arrays import Bools, Float64s, Int32s, Int64s, Objects
from features.splits.windows import Windows
from training.bootstrap import UNKNOWN, Interval, interval
from training.evidence import Champion, Evidence, Slice
from training.judging import Judged


def compare(
    evidence: Evidence,
    challenger: Judged,
    champion: Judged,
    user_ids: Objects,
    slices: Mapping[str, Bools],
    fair: Bools,
    new_share: float,
    release: str,
    cutoff: int,
    fingerprint: str,
    seed: int,
    confidence: float,
    earlier: Sequence[Evidence] = (),
) -> Evidence:
    """Add to the evidence the comparison with the champion, judged on the same queries.

    user_ids: object [n], one per query; slices: bool [n] each; fair: bool [n], the queries to
    compare on (see `outside`); new_share: see Champion; release, cutoff, fingerprint: of the
    champion; earlier: evidence of earlier challengers. Those compared with this champion, with the
    same code and params, are pooled (docs/adr/0008).
    """
    metric = evidence.metric
    difference = challenger.minus(champion, metric, seed, fair, confidence)
    paired = challenger.metrics[metric] - champion.metrics[metric]
    by_user = _by_user(paired[fair], user_ids[fair])
    pool = [by_user]
    for past in earlier:
        same = past.fingerprint == evidence.fingerprint and past.champion is not None
        if same and past.champion is not None and past.champion.release == release:
            pool.append(past.champion.by_user)
    side = Champion(
        release=release,
        cutoff=cutoff,
        fingerprint=fingerprint,
        metrics={name: champion.interval(name, seed, fair) for name in champion.metrics},
        difference=difference,
        pooled=pooled_interval(pool, seed, confidence),
        windows_pooled=len(pool),
        slices=compare_slices(
            challenger,
            champion,
            metric,
            {name: rows & fair for name, rows in slices.items()},
            seed,
            confidence,
        ),
        distinct_items=distinct_items(champion.lists),
        new_share=new_share,
        by_user=by_user,
        pooled_users=len({user for window in pool for user in window}),
        left_out=int((~fair).sum()),
    )
    return evidence.model_copy(update={"first_release": False, "champion": side})


def compare_past(
    evidence: Evidence,
    challenger: Judged,
    past: Mapping[str, Judged | None],
    fair: Bools,
    seed: int,
    confidence: float,
) -> Evidence:
    """Add the challenger minus each past release, on the queries `fair`, bool [n].

    A release that could not be re-scored (None) stays unknown, and the gate then holds. An empty
    mapping means that there is no past release.
    """
    metric = evidence.metric
    differences = {
        release: UNKNOWN
        if judged is None
        else challenger.minus(judged, metric, seed, fair, confidence)
        for release, judged in past.items()
    }
    reference = {
        release: math.nan if judged is None else judged.interval(metric, seed, fair).mean
        for release, judged in past.items()
    }
    return evidence.model_copy(update={"past": differences, "past_reference": reference})


def outside(timestamps: Int64s, windows: Sequence[Windows]) -> Bools:
    """Which moments (int64 [n], µs) lie outside all judge windows of `windows`: bool [n].

    A release was promoted because it did well in its own judge window. There it looks better than
    it is, so a comparison within that window would be unfair to the challenger.
    """
    fair = np.ones(len(timestamps), dtype=np.bool_)
    for own in windows:
        fair &= (timestamps < own.rank_end) | (timestamps >= own.judge_end)
    return fair


def compare_slices(
    served: Judged,
    other: Judged,
    metric: str,
    slices: Mapping[str, Bools],
    seed: int,
    confidence: float,
) -> dict[str, Slice]:
    """A `Slice` for each name. A slice with fewer than two users gets an UNKNOWN difference."""
    return {
        name: Slice(
            users=len(np.unique(served.users[rows])),
            reference=other.interval(metric, seed, rows).mean if rows.any() else math.nan,
            difference=served.minus(other, metric, seed, rows, confidence)
            if rows.any()
            else UNKNOWN,
        )
        for name, rows in slices.items()
    }


def pooled_interval(pool: Sequence[Mapping[str, float]], seed: int, confidence: float) -> Interval:
    """Interval of the mean difference over all (user, window) pairs.

    Users are resampled together with all their windows.
    """
    values = np.array([value for window in pool for value in window.values()], dtype=np.float64)
    names = [user for window in pool for user in window]
    users = np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)[1]
    return interval(values, users.astype(np.int64), seed, confidence=confidence)


def _by_user(differences: Float64s, user_ids: Objects) -> dict[str, float]:
    names, inverse, counts = np.unique(
        user_ids.astype(str), return_inverse=True, return_counts=True
    )
    means = np.bincount(inverse, weights=differences) / counts
    return {str(name): float(mean) for name, mean in zip(names, means, strict=True)}


def distinct_items(lists: Int32s) -> float:
    """The number of different items in the lists."""
    return float(len(np.unique(lists[lists >= 0])))


def share_of(chosen: Bools, lists: Int32s) -> float:
    """The share of filled places in `lists` that hold items of `chosen`, bool [catalogue]."""
    shown = lists[lists >= 0]
    return float(chosen[shown].mean()) if len(shown) else 0.0
