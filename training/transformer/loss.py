"""Exact softmax cross entropy over the catalogue, in pieces that stay in a processor's cache."""

from typing import Any, Final

import torch
from torch import Tensor

from training.transformer.precision import computing

CHUNK_ELEMENTS: Final = 4 * 2**20
"""Scores that exist at a time; between a quarter and twice as many are as fast (docs/log.md)."""


def cross_entropy(states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Sum of −log softmax(states · itemsᵀ)[targets], a scalar.

    states: [n, size]; items: [catalogue, size]; targets: int64 [n]. Scores of one chunk at a time
    exist, and gradients are computed with them, so memory does not grow with n × catalogue (the
    scheme of Hsu et al., 2024, "Liger Kernel"). Under autocast, products are of its type.
    """
    states, items = computing(states), computing(items)
    with torch.autocast(states.device.type, enabled=False):
        loss: Tensor = _CrossEntropy.apply(states, items, targets)  # type: ignore[no-untyped-call]
        return loss


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
        chunk = max(1, CHUNK_ELEMENTS // len(items))
        state_gradient = torch.empty_like(states)
        item_gradient = torch.zeros(items.shape, dtype=torch.float32, device=items.device)
        loss = torch.zeros((), device=states.device)
        for start in range(0, len(states), chunk):
            part = states[start : start + chunk]
            wanted = (torch.arange(len(part), device=part.device), targets[start : start + chunk])
            chances = torch.softmax(part @ items.T, dim=-1)
            loss -= chances[wanted].float().clamp_min(_TINY).log().sum()
            chances[wanted] -= 1
            torch.mm(chances, items, out=state_gradient[start : start + chunk])
            item_gradient += chances.T @ part
        ctx.save_for_backward(state_gradient, item_gradient.to(items.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor, None]:
        state_gradient, item_gradient = ctx.saved_tensors
        by = outer[0].to(state_gradient.dtype)
        return state_gradient * by, item_gradient * by, None


_TINY: Final = float(torch.finfo(torch.float32).tiny)
