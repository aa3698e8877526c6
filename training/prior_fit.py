"""Fit the linear prior.

Separate from `prior.py`, so that the service does not import scipy's optimisers.
"""

import numpy as np
from scipy.optimize import minimize

from base.arrays import Float32s, Float64s, Int8s, Int64s
from training.prior import INPUTS, Prior
from training.rank_features import FEATURES


def fit_prior(
    features: Float32s,
    label: Int8s,
    sizes: Int64s,
    reg: float,
) -> Prior:
    """Maximum likelihood, with an L2 penalty of strength `reg` on deviations from the transformer's
    order.

    features: float32 [rows, len(FEATURES)]; label: int8 [rows], 1 for chosen items; sizes: int64
    [groups], rows per group, in order. Each group has a weight of 1, shared by its chosen items.
    """
    columns = [FEATURES.index(name) for name in INPUTS]
    values = np.where(np.isfinite(features[:, columns]), features[:, columns], np.nan)
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0, dtype=np.float64) / count
    spread = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count)
    scale = np.where(spread > 1e-6, spread, 1.0)
    mean[0], scale[0] = 0.0, 1.0
    start = np.zeros(len(INPUTS))
    start[0] = 1.0
    empty = Prior(INPUTS, tuple(mean.tolist()), tuple(scale.tolist()), tuple(start.tolist()))
    inputs = empty.standardise(features)
    begin = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    group = np.repeat(np.arange(len(sizes)), sizes)
    wanted = label / np.maximum(np.add.reduceat(label.astype(np.float64), begin), 1.0)[group]

    def loss(weight: Float64s) -> tuple[float, Float64s]:
        score = inputs @ weight
        score -= np.maximum.reduceat(score, begin)[group]
        total = np.add.reduceat(np.exp(score), begin)
        log_probability = score - np.log(total)[group]
        gradient = inputs.T @ (np.exp(log_probability) - wanted) + 2 * reg * (weight - start)
        pull = reg * float(((weight - start) ** 2).sum())
        return pull - float(wanted @ log_probability), gradient

    found = minimize(loss, start, jac=True, method="L-BFGS-B")
    return Prior(INPUTS, empty.mean, empty.scale, tuple(float(w) for w in found.x))
