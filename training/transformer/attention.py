"""Attention within packed windows."""

from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

LONGEST: Final = 512
"""Slots of a row up to which all its weights are kept for the backward pass."""


def window_mask(windows: Tensor) -> Tensor:
    """bool [rows, 1, length, length]: what came before in the same window, and oneself.

    windows: int64 [rows, length], a number per window.
    """
    same = windows[:, :, None] == windows[:, None, :]
    return same.tril_()[:, None]


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """softmax(query · keyᵀ / √size) · value, [rows, heads, length, size] each.

    mask: bool [rows, 1, length, length], causal if None.
    """
    by_hand = query.device.type == "cpu" and query.dtype == torch.bfloat16
    if mask is None or not by_hand or query.shape[2] > LONGEST:
        return F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=mask is None
        )
    mixed: Tensor = _Attention.apply(query, key, value, mask)  # type: ignore[no-untyped-call]
    return mixed


class _Attention(torch.autograd.Function):
    """Batched products, weights kept. In bf16 on CPU 3× torch 2.13's own (docs/log.md)."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        rows, heads, length, size = query.shape
        query = (query * size**-0.5).reshape(rows * heads, length, size)
        key, value = (x.reshape(rows * heads, length, size) for x in (key, value))
        scores = torch.bmm(query, key.transpose(1, 2))
        # Finite, since an infinite one would make a gradient of an empty row NaN.
        hidden = torch.zeros(mask.shape, dtype=scores.dtype).masked_fill_(~mask, -1e30)
        scores.view(rows, heads, length, length).add_(hidden)
        weights = torch.softmax(scores, dim=-1)
        ctx.save_for_backward(query, key, value, weights)
        return torch.bmm(weights, value).view(rows, heads, length, size)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        query, key, value, weights = ctx.saved_tensors
        shape = outer[0].shape
        gradient = outer[0].reshape(query.shape)
        of_value = torch.bmm(weights.transpose(1, 2), gradient)
        of_weights = torch.bmm(gradient, value.transpose(1, 2))
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_query = torch.bmm(of_scores, key) * shape[-1] ** -0.5
        of_key = torch.bmm(of_scores.transpose(1, 2), query)
        return of_query.view(shape), of_key.view(shape), of_value.view(shape), None
