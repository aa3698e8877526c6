"""Predict clicks from the ranks that two releases give to an item.

The doubly robust estimate stays right if the prediction is wrong, and gets a smaller error where it
is right. So a small model suffices: a Poisson regression whose offset is the position's share of
looks. It is fitted on other users than those it predicts for, so that it cannot learn their noise.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from base.arrays import Float64s, Int64s

#: Rank that stands for "not a candidate".
_ABSENT: Final = 150
#: Penalties of the columns of `basis`: none for the constant, hardly any for the ranks themselves,
#: and a strong one for curvature and interactions, which few clicks can tell apart. With 1 instead
#: of 20, errors are a quarter larger, and releases that show what nobody has shown are far off.
_PENALTIES: Final = np.array([0.0, 0.05, 0.05, 0.05, *[20.0] * 9])
_STEPS: Final = 30
#: Users are split into this many groups. Each is predicted by a model of the others.
FOLDS: Final = 2


def basis(first: Int64s, second: Int64s) -> Float64s:
    """Columns of the regression, float64 [n, 13], from two ranks, int64 [n], −1 if no candidate.

    Each is from 0 to about 1.
    """
    scale = np.log1p(_ABSENT)
    a, b = (np.log1p(np.where(rank >= 0, rank, _ABSENT)) / scale for rank in (first, second))
    no_a, no_b = (np.asarray(rank < 0, dtype=np.float64) for rank in (first, second))
    return np.stack(
        [
            np.ones_like(a), a, b, no_a * no_b,
            no_a, no_b, a * a, b * b, a * b, no_a * b, no_b * a, no_a * b * b, no_b * a * a,
        ],
        axis=1,
    )  # fmt: skip


@dataclass(frozen=True)
class Model:
    """log E[clicks] = log looks + columns · coefficients.

    coefficients: float64 [columns]; spread: float64 [columns, columns], the inverse of the
    curvature of the likelihood, by which the noise of the clicks reaches the coefficients.
    """

    coefficients: Float64s
    spread: Float64s


def fit(columns: Float64s, clicks: Float64s, looks: Float64s) -> Model:
    """The model of clicks.

    columns: float64 [n, columns], the first is constant; clicks, looks: float64 [n]. Newton's
    method with ridge penalties. Without any click, every prediction is 0 (−inf as the constant).
    """
    coefficients = np.zeros(columns.shape[1])
    penalty = _PENALTIES
    if not clicks.sum() > 0:
        coefficients[0] = -np.inf
        return Model(coefficients, np.zeros((len(penalty), len(penalty))))
    coefficients[0] = np.log(clicks.sum() / looks.sum())
    for _ in range(_STEPS):
        mean = looks * _predict(columns, coefficients)
        slope = columns.T @ (clicks - mean) - penalty * coefficients
        curvature = (columns * mean[:, None]).T @ columns + np.diag(penalty + 1e-9)
        step = np.clip(np.linalg.solve(curvature, slope), -2.0, 2.0)
        coefficients += step
        if np.abs(step).max() < 1e-6:
            break
    return Model(coefficients, np.asarray(np.linalg.inv(curvature), dtype=np.float64))


def predict(columns: Float64s, model: Model) -> Float64s:
    """Predicted clicks per look, float64 [n], at most 1."""
    return _predict(columns, model.coefficients)


def _predict(columns: Float64s, coefficients: Float64s) -> Float64s:
    if not np.isfinite(coefficients).all():
        return np.zeros(len(columns))
    return np.asarray(np.exp(np.minimum(columns @ coefficients, 0.0)), dtype=np.float64)
