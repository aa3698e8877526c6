"""Attention within packed windows, with biases that depend on the pair of events."""

from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from training.transformer.data import INTERVALS
from training.transformer.packing import Inputs
from training.transformer.precision import computing

LONGEST: Final = 512
"""Up to this many slots per row, all attention weights are kept for the backward pass."""

NEVER: Final = -1e30
"""Added to the score of an event that must not be seen. Finite, so that no gradient becomes NaN."""


class AttentionBias(nn.Module):
    """Which events an event may see, and a bias on the score of each pair, per head.

    time: a bias by the time from an event to the prediction, in log2 buckets (as HSTU; Zhai et al.,
    2024). distance: a bias by the number of events between them (Raffel et al., 2020, without
    buckets). All blocks share them.
    """

    def __init__(self, num_heads: int, max_length: int, time: bool, distance: bool) -> None:
        super().__init__()
        self.times = nn.Parameter(torch.zeros(num_heads, INTERVALS)) if time else None
        self.distances = nn.Parameter(torch.zeros(num_heads, max_length + 1)) if distance else None

    def forward(self, inputs: Inputs, mask: Tensor) -> Tensor:
        """[rows, heads or 1, length, length], finite. mask: bool [rows, 1, length, length]."""
        bias = torch.zeros((), device=mask.device)
        if self.distances is not None:
            place = torch.arange(mask.shape[-1], device=mask.device)
            apart = (place[:, None] - place).clamp(0, self.distances.shape[1] - 1)
            bias = bias + self.distances[:, apart][None]
        if self.times is not None:
            bias = computing(bias) + _look_up(computing(self.times), buckets(inputs))
        return computing(bias).masked_fill(~mask, NEVER)


def buckets(inputs: Inputs) -> Tensor:
    """int32 [rows, length, length]: `interval_buckets` of the time from each event to each
    prediction.

    0 where the event is the start token, which has no time.
    """
    seconds = (inputs.nexts[:, :, None] - inputs.times[:, None, :]).clamp_(min=0)
    # The exponent of a float is the floor of its log2. Reading it is 3x as fast as computing the
    # logarithm.
    exponents = seconds.float().view(torch.int32) >> 23
    return (exponents - 125).clamp_(1, INTERVALS - 1) * (inputs.positions > 0)[:, None]


def window_mask(windows: Tensor) -> Tensor:
    """bool [rows, 1, length, length]: earlier slots of the same window, and the slot itself.

    windows: int64 [rows, length], a number per window.
    """
    same = windows[:, :, None] == windows[:, None, :]
    return same.tril_()[:, None]


def attend(query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
    """softmax(query · keyᵀ / √size + bias) · value, [rows, heads, length, size] each.

    bias: [rows, heads or 1, query length, key length].
    """
    small = query.device.type == "cpu" and max(bias.shape[-2:]) <= LONGEST
    if not (small and (query.dtype == torch.bfloat16 or bias.requires_grad)):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=bias.to(query.dtype))
    mixed: Tensor = _Attention.apply(query, key, value, bias)  # type: ignore[no-untyped-call]
    return mixed


class _Attention(torch.autograd.Function):
    """Attention by batched products, with weights kept.

    In bf16 on CPU 3x as fast as torch 2.13's own (docs/log.md).
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor) -> Tensor:
        rows, heads, length, size = query.shape
        query = (query * size**-0.5).reshape(rows * heads, length, size)
        key, value = (x.reshape(rows * heads, -1, size) for x in (key, value))
        scores = torch.bmm(query, key.transpose(1, 2))
        scores.view(rows, heads, length, -1).add_(bias)
        weights = torch.softmax(scores, dim=-1)
        ctx.save_for_backward(query, key, value, weights)
        ctx.bias = bias.shape if bias.requires_grad else None
        return torch.bmm(weights, value).view(rows, heads, length, size)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        query, key, value, weights = ctx.saved_tensors
        shape = outer[0].shape
        gradient = outer[0].reshape(query.shape)
        of_value = torch.bmm(weights.transpose(1, 2), gradient)
        of_weights = torch.bmm(gradient, value.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_query = torch.bmm(of_scores, key) * shape[-1] ** -0.5
        of_key = torch.bmm(of_scores.transpose(1, 2), query)
        of_bias = None if ctx.bias is None else of_scores.view(*shape[:3], -1).sum_to_size(ctx.bias)
        return of_query.view(shape), of_key.view(shape), of_value.view(shape), of_bias


def _look_up(table: Tensor, index: Tensor) -> Tensor:
    found: Tensor = _LookUp.apply(table, index)  # type: ignore[no-untyped-call]
    return found


class _LookUp(torch.autograd.Function):
    """Look up table [heads, n] at index int32 [rows, a, b], giving [rows, heads, a, b]."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.size = table.shape[1]
        flat = index.flatten()
        found = torch.stack([head.index_select(0, flat).view(index.shape) for head in table])
        return found.transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None]:
        flat = ctx.saved_tensors[0].flatten()
        counted = [
            torch.bincount(flat, weights=head.float().flatten(), minlength=ctx.size)
            for head in outer[0].unbind(1)
        ]
        return torch.stack(counted).to(outer[0].dtype), None
