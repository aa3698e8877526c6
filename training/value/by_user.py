"""Errors where the slates of a user go together: users are independent, slates are not."""

import numpy as np

from base.arrays import Float64s, Int64s


def sums(values: Float64s, users: Int64s) -> Float64s:
    """The sum of `values` [n] over each user's slates, float64 [distinct users]."""
    names, inverse = np.unique(users, return_inverse=True)
    return np.bincount(inverse, weights=values, minlength=len(names)).astype(np.float64)


def variance(squares: float, users: float) -> float:
    """Variance of a sum over users, of which each deviates from its expected value.

    squares: the sum of the squared deviations of `users`, which are estimated from the same users,
    hence a factor (Cochran, "Sampling techniques", 1977). ValueError for fewer than two.
    """
    if users < 2:
        raise ValueError(f"no variance of {users:g} users")
    return users / (users - 1) * squares
