"""Whether a comparison depends on who served, and whether it ranks good releases rightly."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy import stats

from base.arrays import Float64s
from benchmarks.gate.shares import mean
from benchmarks.gate.tasks import Arrays

#: A good release truly earns at least this share of what the one that serves earns.
GOOD: Final = 0.95
#: Days of the windows on which releases are ranked.
WINDOWS: Final = (3, 10)


def swing(played: Sequence[Arrays]) -> dict[str, Any]:
    """How much better the second of two equal releases looks when the first serves than when it
    serves itself, as shares of clicks and of NDCG, on organic choices or on these and clicks.

    `excess`: less the same difference of their true values, as contexts differ, too.
    """
    found = np.array([_swing(each) for each in played]).reshape(-1, 4)
    return {
        "value": mean(found[:, 0]),
        "excess": mean(found[:, 1]),
        "organic_ndcg": mean(found[:, 2]),
        "ndcg_with_clicks": mean(found[:, 3]),
        "pairs": len(found),
    }


def _swing(played: Arrays) -> Float64s:
    earned, true, *ndcg = (
        _change(played[name][played["served"] == 0]) - _change(played[name][played["served"] == 1])
        for name in ("earned", "true", "ndcg", "ndcg all")
    )
    return np.array([earned, earned - true, *ndcg])


def _change(pairs: Float64s) -> float:
    first, second = pairs.astype(np.float64).sum(axis=0)
    return float(second / first - 1.0)


def ranks(played: Sequence[Arrays]) -> dict[str, Any]:
    """Spearman's correlation with true reward among good releases: of the gate's statistic and of
    organic NDCG, by days of the window."""
    result: dict[str, Any] = {}
    for days in WINDOWS:
        rows = [row for each in played for row in ranked(each, days)]
        value = np.array([_spearman(estimate, true) for estimate, _, true in rows])
        organic = np.array([_spearman(ndcg, true) for _, ndcg, true in rows])
        result[f"{days} days"] = {
            "value": mean(value),
            "organic_ndcg": mean(organic),
            "releases": round(float(np.mean([len(true) for *_, true in rows])), 1) if rows else 0,
            "spread": round(float(np.mean([true.std() for *_, true in rows])), 6) if rows else None,
        }
    return result


def ranked(played: Arrays, days: int) -> list[tuple[Float64s, Float64s, Float64s]]:
    """For each window: estimated change, NDCG and true change of reward of the good releases."""
    found, served = played["found"].astype(np.float64), played["served"].astype(np.float64)
    true = found[:, :, 3].sum(axis=0) / served[:, 1].sum() - 1.0
    good = true >= GOOD - 1.0
    windows = []
    for start in range(0, len(found) + 1 - days, days):
        part = found[start : start + days][:, good]
        change = part[:, :, 1].sum(axis=0) / part[:, :, 0].sum(axis=0) - 1.0
        windows.append((change, part[:, :, 4].mean(axis=0), true[good]))
    return windows


def _spearman(values: Float64s, true: Float64s) -> float:
    return float(stats.spearmanr(values, true).statistic)
