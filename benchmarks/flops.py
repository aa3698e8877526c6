"""How much arithmetic a training token needs, whoever does it. Imports no more than numpy."""

from collections.abc import Iterable
from typing import Any

from base.arrays import Int64s


def linear_weights(parameters: Iterable[Any]) -> int:
    """Elements of those tensors that are matrices."""
    return sum(weight.numel() for weight in parameters if weight.dim() == 2)


def flops_per_token(
    linear_parameters: int, num_layers: int, size: int, lengths: Int64s, scored: int
) -> float:
    """Floating-point operations of matrix products that one real token needs, forward and backward.

    Kaplan et al. (2020), with the attention and the output counted as they are: a token attends to
    what came before it and itself, and is scored against `scored` items. Work on padding and on
    masked positions is not needed and not counted. lengths: int64 [windows], events of each.
    """
    context = float((lengths * (lengths + 1)).sum() / 2 / lengths.sum())
    return 6 * linear_parameters + 12 * num_layers * size * context + 6 * scored * size
