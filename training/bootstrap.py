"""Confidence intervals by resampling users.

Percentile intervals (Efron and Tibshirani, "An introduction to the bootstrap", 1993). Users are
resampled, not queries, because queries of one user are not independent.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from base.arrays import Float64s, Int64s
from base.record import Number

PerUser = Float64s


@dataclass(frozen=True)
class Interval:
    """An estimate with its lower and upper bound. All are NaN if there are no data."""

    mean: Number
    low: Number
    high: Number

    @property
    def known(self) -> bool:
        """Whether estimate and bounds are all finite."""
        return all(math.isfinite(value) for value in (self.mean, self.low, self.high))

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"

    def plain(self) -> dict[str, Any]:
        """A dictionary for JSON, with null where unknown."""
        plain: dict[str, Any] = _JSON.dump_python(self, mode="json")
        return plain

    @staticmethod
    def of(plain: Mapping[str, float | None]) -> "Interval":
        """Make an interval from the output of `plain`."""
        return _JSON.validate_python(plain)


_JSON = TypeAdapter(Interval)
UNKNOWN = Interval(math.nan, math.nan, math.nan)


def user_means(values: PerUser, users: Int64s) -> PerUser:
    """Mean of `values` [queries] for each distinct user, in order of user: float64 [users]."""
    _, inverse, counts = np.unique(users, return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(inverse, weights=values) / counts, dtype=np.float64)


def interval(
    values: PerUser,
    users: Int64s,
    seed: int,
    samples: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """Interval of the user-averaged mean of `values` [queries], two-sided at `confidence`.

    Fewer than two users give `UNKNOWN`; a NaN among the values makes the result NaN.
    """
    means = user_means(values, users)
    if len(means) < 2:
        return UNKNOWN
    if not np.isfinite(means).all():
        return UNKNOWN
    generator = np.random.default_rng(seed)
    drawn = np.empty(samples, dtype=np.float64)
    for start in range(0, samples, 200):  # bounds memory: 200 × users indices at a time
        count = min(200, samples - start)
        rows = generator.integers(0, len(means), size=(count, len(means)))
        drawn[start : start + count] = means[rows].mean(axis=1)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail])
    return Interval(float(means.mean()), float(low), float(high))


def paired_interval(
    a: PerUser,
    b: PerUser,
    users: Int64s,
    seed: int,
    confidence: float = 0.95,
) -> Interval:
    """Interval of the user-averaged difference a − b of two systems on the same queries
    [queries]."""
    if a.shape != b.shape:
        raise ValueError(f"paired values differ in shape: {a.shape} and {b.shape}")
    return interval(a - b, users, seed, confidence=confidence)
