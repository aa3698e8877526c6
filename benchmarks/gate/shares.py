"""Shares with their binomial intervals, and means with their errors."""

from typing import Any

import numpy as np
from scipy import stats

from base.arrays import Float64s


def share(hits: int, count: int, confidence: float = 0.95) -> dict[str, Any]:
    """A share with its exact interval (Clopper and Pearson, Biometrika 1934). None if count is
    0."""
    if not count:
        return {"share": None, "low": None, "high": None, "count": 0}
    interval = stats.binomtest(hits, count).proportion_ci(confidence, "exact")
    return {
        "share": round(hits / count, 4),
        "low": round(float(interval.low), 4),
        "high": round(float(interval.high), 4),
        "count": count,
    }


def mean(values: Float64s, confidence: float = 0.95) -> dict[str, Any]:
    """A mean of independent values, float64 [n], with its interval. None if n is below 2."""
    count = len(values)
    if count < 2:
        return {"mean": None, "low": None, "high": None, "count": count}
    half = float(stats.t.ppf(0.5 + confidence / 2, count - 1) * values.std(ddof=1) / np.sqrt(count))
    middle = float(values.mean())
    return {
        "mean": round(middle, 6),
        "low": round(middle - half, 6),
        "high": round(middle + half, 6),
        "count": count,
    }
