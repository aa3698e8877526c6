"""Compare the challenger with the champion on the same queries, and describe lists."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from base.arrays import Bools, Int32s, Int64s
from features.splits.windows import Windows
from training.bootstrap import UNKNOWN
from training.evidence import Champion, Contest, Evidence, Slice
from training.judging import Judged


def compare(
    evidence: Evidence,
    challenger: Judged,
    champion: Judged,
    fair: Bools,
    own: Evidence,
    contest: Contest,
    seed: int,
    confidence: float,
) -> Evidence:
    """Add to the evidence the comparison with the champion, judged on the same queries.

    fair: bool [n], the queries to compare on (see `outside`); own: the evidence on which the
    champion was promoted; contest: the comparison that decides.
    """
    side = Champion(
        release=contest.release,
        cutoff=own.cutoff,
        fingerprint=own.fingerprint,
        metrics={name: champion.interval(name, seed, fair) for name in champion.metrics},
        difference=challenger.minus(champion, evidence.metric, seed, fair, confidence),
        distinct_items=distinct_items(champion.lists),
        contest=contest,
        left_out=int((~fair).sum()),
    )
    return evidence.model_copy(update={"first_release": False, "champion": side})


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


def distinct_items(lists: Int32s) -> float:
    """The number of different items in the lists."""
    return float(len(np.unique(lists[lists >= 0])))


def share_of(chosen: Bools, lists: Int32s) -> float:
    """The share of filled places in `lists` that hold items of `chosen`, bool [catalogue]."""
    shown = lists[lists >= 0]
    return float(chosen[shown].mean()) if len(shown) else 0.0
