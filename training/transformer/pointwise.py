"""Losses that judge each score by itself, on the target and on items drawn alike for all."""

from typing import Final, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from training.transformer.precision import computing

Pointwise = Literal["bce", "gbce", "mse"]

CALIBRATION: Final = 0.75
"""Of `gbce`, t: 0 leaves the probabilities as overconfident as sampling makes them, 1 not at all
(gSASRec; Petrov and Macdonald, 2023, whose choice this is)."""


def pointwise(
    states: Tensor,
    items: Tensor,
    targets: Tensor,
    negatives: Tensor,
    form: Pointwise,
    vocabulary: int,
) -> Tensor:
    """Sum over the states of the mean loss of the target's score and those of the sample, a scalar.

    states: [n, size]; items: [rows, size]; targets: int64 [n], rows of `items`; negatives: int64
    [sample], rows of `items` that were drawn uniformly of `vocabulary`; a state's own target is no
    negative. bce: −log σ of the target, −log(1 − σ) of the others (SASRec; Kang and McAuley, 2018).
    gbce: the target's σ to the power β = 1 − t (1 − share of the other items in the sample). Of
    both, σ is that of the score + log(β / negatives), the odds of an item about which nothing is
    known: scores begin at 0, where without it every item is as likely as not, and nothing is
    learned before all have come down. It is the same for all items and changes no ranking.
    mse: (score − 1)² and score². Memory grows with n × sample.
    """
    own = (computing(states) * computing(F.embedding(targets, items))).sum(-1).float()
    others = (computing(states) @ computing(F.embedding(negatives, items)).T).float()
    real = negatives != targets[:, None]
    count = real.sum(-1)
    if form == "mse":
        wanted, unwanted = (own - 1).square(), others.square()
    else:
        share = count / (vocabulary - 1)
        power = 1 - CALIBRATION * (1 - share) if form == "gbce" else torch.ones_like(share)
        unknown = (power / count.clamp(min=1)).log()
        wanted, unwanted = power * F.softplus(-own - unknown), F.softplus(others + unknown[:, None])
    return ((wanted + (unwanted * real).sum(-1)) / (1 + count)).sum()
