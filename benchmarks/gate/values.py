"""How right the values of releases are: coverage and bias of intervals, and standard errors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np

from base.arrays import Bools, Float64s
from benchmarks.gate.shares import mean, share
from benchmarks.gate.tasks import Arrays
from training.value import relative

#: Days of the windows on which intervals are checked.
WINDOWS: Final = (1, 3, 10)
#: The window of the headline figures.
MAIN: Final = 3
SLATES: Final = 10_000
_Z: Final = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True)
class Window:
    """A window of one pair: change by the estimate, its error, the true one, and slates.

    value, value_error: of the second release alone, relative to its true value, minus 1.
    """

    change: float
    error: float
    true: float
    value: float
    value_error: float
    slates: int

    @property
    def covers(self) -> bool:
        """Whether the 95 % interval of the change holds the truth."""
        return abs(self.change - self.true) <= _Z * self.error


def windows(played: Arrays, estimate: str, truth: str, days: int) -> Iterator[Window]:
    """Windows of `days` days that do not overlap. The truth is that of all days together.

    estimate: name of the columns `first …` and `second …`; truth: of the column `true …`.
    """
    wide = {name: played[name].astype(np.float64) for name in ("true", f"true {truth}")}
    true_value = float(wide[f"true {truth}"].mean())
    true = true_value / float(wide["true"].mean()) - 1.0
    for start in range(0, int(played["day"].max()) + 2 - days, days):
        rows = (played["day"] >= start) & (played["day"] < start + days)
        ids = played["people"][rows].astype(str).astype(object)
        second = played[f"second {estimate}"][rows].astype(np.float64)
        first = played[f"first {estimate}"][rows].astype(np.float64)
        every: Bools = np.ones(len(ids), dtype=np.bool_)
        found = relative.change([relative.sums(second, first, ids, every)])
        alone = relative.change([relative.sums(second, np.full(len(ids), true_value), ids, every)])
        yield Window(found.mean, found.error, true, alone.mean, alone.error, len(ids))


def figures(tasks: Sequence[Sequence[Window]]) -> dict[str, Any]:
    """Of the windows of many pairs: coverage, bias and error for the change and for the value.

    Bias and its interval are over pairs, since windows of a pair share releases.
    """
    flat = [window for task in tasks for window in task]
    misses = np.array([w.change - w.true for w in flat])
    scale = np.sqrt(np.array([w.slates for w in flat]) / SLATES)
    values = np.array([w.value for w in flat])
    return {
        "coverage": share(sum(w.covers for w in flat), len(flat)),
        "bias": mean(np.array([np.mean([w.change - w.true for w in task]) for task in tasks])),
        "se_10000": _deviation(misses * scale, tasks),
        "told_se_10000": _rounded(np.sqrt(np.mean([w.error**2 for w in flat] * scale**2))),
        "value_coverage": share(sum(abs(w.value) <= _Z * w.value_error for w in flat), len(flat)),
        "value_bias": mean(np.array([np.mean([w.value for w in task]) for task in tasks])),
        "value_se_10000": _deviation(values * scale, tasks),
        "pairs": len(tasks),
    }


def on_policy(played: Sequence[Arrays]) -> float:
    """Standard error at 10,000 slates each of the relative difference of two releases that both
    serve, with slates of a user dependent."""
    found = []
    for each in played:
        rows = each["day"] < MAIN
        ids = each["people"][rows].astype(str).astype(object)
        clicks = each["clicks"][rows].astype(np.float64)
        every: Bools = np.ones(len(ids), dtype=np.bool_)
        level = np.full(len(ids), clicks.mean())
        error = relative.change([relative.sums(clicks, level, ids, every)]).error
        found.append(2.0 * error**2 * len(ids) / SLATES)
    return float(np.sqrt(np.mean(found)))


def _deviation(values: Float64s, tasks: Sequence[Sequence[Window]]) -> float | None:
    """Deviation of windows around the mean of their pair."""
    pair = np.repeat(np.arange(len(tasks)), [len(task) for task in tasks])
    counts = np.bincount(pair)
    left = values - (np.bincount(pair, weights=values) / counts)[pair]
    free = len(values) - len(tasks)
    return _rounded(np.sqrt(float((left**2).sum()) / free)) if free > 0 else None


def _rounded(value: float) -> float:
    return round(float(value), 6)
