"""Softmax cross entropy, exact or sampled, computed in pieces that fit a processor's cache."""

from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from training.transformer.precision import computing

CHUNK_ELEMENTS: Final = 4 * 2**20
"""Scores held at a time. Between a quarter and twice as many are equally fast (docs/log.md)."""


def cross_entropy(states: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """Sum of −log softmax(states · itemsᵀ)[targets], a scalar.

    states: [n, size]; items: [catalogue, size]; targets: int64 [n]. Only one chunk of scores exists
    at a time, and gradients are computed with it, so memory does not grow with n × catalogue (as in
    Hsu et al., 2024, "Liger Kernel"). Under autocast, products use its type.
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


def sampled_cross_entropy(
    states: Tensor, items: Tensor, targets: Tensor, negatives: Tensor, log_chances: Tensor
) -> Tensor:
    """`cross_entropy` with the sum over the catalogue estimated from a sample, a scalar.

    states: [n, size]; items: [rows, size]; targets: int64 [n], rows of `items`; negatives: int64
    [sample], ascending, rows of `items` that were drawn; log_chances: float32 [sample], log of the
    probability that each is in the sample.

    Computes −log(e^t / (e^t + Σ e^s / chance)), where t is the target's score and s are the scores
    of the sample without the target. The sum is unbiased for each state (importance sampling;
    Bengio and Senécal, 2008; Jean et al., 2015). With all items in the sample the loss is exact.
    Memory is used as in `cross_entropy`.
    """
    # Look up before casting, so that gradients of frequent items are summed in full precision.
    own, sample = (computing(F.embedding(rows, items)) for rows in (targets, negatives))
    states = computing(states)
    places = torch.searchsorted(negatives, targets).clamp_(max=len(negatives) - 1)
    places = places.masked_fill_(negatives[places] != targets, -1)
    with torch.autocast(states.device.type, enabled=False):
        loss: Tensor = _Sampled.apply(  # type: ignore[no-untyped-call]
            states, own, sample, places, log_chances.to(states.dtype)
        )
        return loss


class _Sampled(torch.autograd.Function):
    """With z the log of the sum over the sample, a row's loss is log(1 + e^(z − t)).

    Its derivative by z − t is `others`, the share of the probability that does not go to the
    target.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, own: Tensor, sample: Tensor, places: Tensor, log_chances: Tensor
    ) -> Tensor:
        chunk = max(1, CHUNK_ELEMENTS // max(1, len(sample)))
        state_gradient, own_gradient = torch.empty_like(states), torch.empty_like(own)
        sample_gradient = torch.zeros(sample.shape, dtype=torch.float32, device=sample.device)
        loss = torch.zeros((), device=states.device)
        for start in range(0, len(states), chunk):
            rows = slice(start, start + chunk)
            part, target = states[rows], own[rows]
            scores = torch.addmm(-log_chances, part, sample.T)
            # The position of the row's target in the sample, if it is there.
            own_place = places[rows].clamp(min=0).unsqueeze(1)
            there = places[rows][:, None] >= 0
            scores.scatter_(1, own_place, scores.gather(1, own_place).masked_fill_(there, _NEVER))
            highest, place = scores.max(dim=-1, keepdim=True)
            chances = torch.softmax(scores, dim=-1)
            z = highest.float() - chances.gather(1, place).float().log()
            ahead = z - (part.float() * target.float()).sum(dim=-1, keepdim=True)
            loss += F.softplus(ahead).sum()
            others = torch.sigmoid(ahead).to(part.dtype)
            state_gradient[rows] = others * (chances @ sample - target)
            own_gradient[rows] = -others * part
            sample_gradient += chances.T @ (others * part)
        ctx.save_for_backward(state_gradient, own_gradient, sample_gradient.to(sample.dtype))
        return loss

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        state_gradient, own_gradient, sample_gradient = ctx.saved_tensors
        by = outer[0].to(state_gradient.dtype)
        return state_gradient * by, own_gradient * by, sample_gradient * by, None, None


_NEVER: Final = -1e30
"""Score of items to leave out. Finite, so that no gradient becomes NaN."""

_TINY: Final = float(torch.finfo(torch.float32).tiny)
