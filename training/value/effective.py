"""How many observations weighted ones are worth: Kish, "Survey sampling" (1965)."""

from base.arrays import Float64s


def effective_size(weights: Float64s) -> float:
    """Effective sample size of `weights` [n]: (sum)² / sum of squares."""
    squares = float((weights**2).sum())
    return _share(float(weights.sum()), squares)


def effective_share(weights: Float64s, counts: Float64s) -> float:
    """Effective size over number, if each of `weights` [n] stands as often as `counts` [n] says."""
    squares = float((counts * weights**2).sum()) * float(counts.sum())
    return _share(float((counts * weights).sum()), squares)


def _share(total: float, squares: float) -> float:
    return total**2 / squares if squares > 0 else 0.0
