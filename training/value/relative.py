"""The relative change from one release to another, pooled over windows, with its standard error."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from base.arrays import Bools, Float64s, Objects
from training.value import by_user

#: What a user's slates of one window say: (clicks of the challenger, of the other release), summed.
ByUser = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Change:
    """Challenger over the other release, minus 1. NaN if unknown.

    error: standard error, where all slates of a user count as one observation; people: users.
    """

    mean: float
    error: float
    people: int

    @property
    def known(self) -> bool:
        """Whether change and error are finite."""
        return math.isfinite(self.mean) and math.isfinite(self.error)

    def low(self, confidence: float) -> float:
        """Lower bound, one-sided at `confidence`."""
        return self.mean - NormalDist().inv_cdf(confidence) * self.error

    def high(self, confidence: float) -> float:
        """Upper bound, one-sided at `confidence`."""
        return self.mean + NormalDist().inv_cdf(confidence) * self.error


def sums(challenger: Float64s, other: Float64s, user_ids: Objects, rows: Bools) -> ByUser:
    """Sums by user over `rows`, bool [n]. challenger, other: float64 [n]; user_ids: object [n]."""
    names, users = np.unique(user_ids[rows].astype(str), return_inverse=True)
    first, second = (by_user.sums(clicks[rows], users) for clicks in (challenger, other))
    pairs = zip(first.tolist(), second.tolist(), strict=True)
    return dict(zip(names.tolist(), pairs, strict=True))


def change(windows: Sequence[ByUser]) -> Change:
    """The change over all windows.

    A ratio of sums; its error follows from the residuals of users (the linearised ratio estimator:
    Cochran, "Sampling techniques", 1977). Fewer than two users, or another release that earns
    nothing, give an unknown change.
    """
    totals: dict[str, list[float]] = {}
    for window in windows:
        for user, (mine, theirs) in window.items():
            total = totals.setdefault(user, [0.0, 0.0])
            total[0] += mine
            total[1] += theirs
    values = np.array(list(totals.values()), dtype=np.float64).reshape(-1, 2)
    count, whole = len(values), float(values[:, 1].sum())
    if count < 2 or not whole > 0 or not np.isfinite(values).all():
        return Change(math.nan, math.nan, count)
    ratio = float(values[:, 0].sum()) / whole
    residuals = values[:, 0] - ratio * values[:, 1]
    variance = by_user.variance(float((residuals**2).sum()), count) / whole**2
    return Change(ratio - 1.0, math.sqrt(variance), count)
