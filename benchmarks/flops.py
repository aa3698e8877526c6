"""The arithmetic that a training token needs, for any implementation. Imports only numpy."""

from collections.abc import Iterable
from typing import Any

from base.arrays import Int64s


def linear_weights(parameters: Iterable[Any]) -> int:
    """The number of elements in tensors that are matrices."""
    return sum(weight.numel() for weight in parameters if weight.dim() == 2)


def flops_per_token(
    linear_parameters: int, num_layers: int, size: int, lengths: Int64s, scored: int
) -> float:
    """Floating-point operations of matrix products that one real token needs, forward and backward.

    As Kaplan et al. (2020), but with exact counts for attention and output: a token attends to
    earlier tokens and itself, and is scored against `scored` items. Work on padding and masked
    positions is not counted. lengths: int64 [windows], events of each.
    """
    context = float((lengths * (lengths + 1)).sum() / 2 / lengths.sum())
    return 6 * linear_parameters + 12 * num_layers * size * context + 6 * scored * size
