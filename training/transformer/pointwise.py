"""Losses that judge each score by itself, on the target and on negatives shared by all states."""

from typing import Final, Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from training.transformer.precision import computing

Pointwise = Literal["bce", "gbce", "mse"]

CALIBRATION: Final = 0.75
"""The t of `gbce`: 0 leaves the overconfidence caused by sampling, 1 removes it.

The value is that of gSASRec (Petrov and Macdonald, 2023).
"""


def pointwise(
    states: Tensor,
    items: Tensor,
    targets: Tensor,
    negatives: Tensor,
    form: Pointwise,
    vocabulary: int,
) -> Tensor:
    """Sum over the states of the mean loss of the target's score and the sample's scores, a scalar.

    states: [n, size]; items: [rows, size]; targets: int64 [n], rows of `items`; negatives: int64
    [sample], rows of `items`, drawn uniformly from `vocabulary`. A state's own target is not used
    as a negative. Memory grows with n × sample.

    bce: −log σ of the target, −log(1 − σ) of the others (SASRec; Kang and McAuley, 2018). gbce: the
    target's σ to the power β = 1 − t (1 − share of the other items in the sample). mse: (score −
    1)² and score².

    In bce and gbce, log(β / negatives) is added to all scores. These are the log odds of an item of
    which nothing is known. Scores start at 0, so without this every item would start with a
    probability of a half, and nothing would be learned until all scores have fallen. As the same
    number is added to all items, it changes no ranking.
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
