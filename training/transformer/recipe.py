"""The rules that derive from the data the settings that section `fit` leaves open (null)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from training.transformer.config import TransformerParams

STEPS_AN_EPOCH: Final = 120
"""Target number of steps per epoch.

With fewer, a small log's epochs are wasted. With more, training is slow, because every step has the
same fixed cost.
"""

SPARSE, DENSE = 12.0, 300.0
"""Events per item of the training data, of Amazon Sports and MovieLens-1M. Between these densities,
less and less regularisation is needed. The values below were chosen on these logs (docs/log.md)."""

DROPOUT: Final = (0.5, 0.3)
"""Dropout at SPARSE and below, and at DENSE and above.

In between, linear in the log of the density.
"""

WEIGHT_DECAY: Final = (2.0, 0.3)
"""Like DROPOUT, but linear in its own log too; for the learning rate DECAY_RATE.

Per step, a weight loses rate × decay of itself. At another learning rate this product stays the
same (Wang and Aitchison, 2024, "How to set AdamW's weight decay as you scale model and dataset
size").
"""

DECAY_RATE: Final = 3e-3
"""The learning rate for which WEIGHT_DECAY was chosen, that of size `small` at that time."""

EXACT_UP_TO: Final = 2**15
"""Up to this many items with an id, the softmax is exact.

A step with DRAWS draws costs the same for any catalogue. An exact step costs about as much at
10,000 items, three times as much at this many and seven times at twice this many (docs/log.md). So
at this limit an exact softmax is costly, but still affordable.
"""

DRAWS: Final = 2**13
"""Items drawn per softmax step for larger catalogues."""

POINTWISE_DRAWS: Final = 256
"""Items drawn per step for `bce`, `gbce` and `mse` (as gSASRec; Petrov and Macdonald, 2023)."""


@dataclass(frozen=True, kw_only=True)
class Recipe(TransformerParams):
    """`TransformerParams` with every open setting derived for a known log."""

    batch_tokens: int
    learning_rate: float
    dropout: float
    weight_decay: float
    negatives: int
    """Items drawn per step. 0: the loss needs none."""

    def __post_init__(self) -> None:
        """Skip the checks: derived values are in range, and the others were checked before."""

    @property
    def derived(self) -> dict[str, float]:
        """The settings that may be derived from the data, by their name in section `fit`."""
        return {name: getattr(self, name) for name in Recipe.__annotations__}

    @staticmethod
    def of(params: TransformerParams, events: int, items: int) -> "Recipe":
        """Derive settings for a log with `events` events and `items` items with an id, both at
        least 1."""
        density = events / items
        rate = _or(params.learning_rate, params.shape.learning_rate)
        decay = math.exp(_between([math.log(decay) for decay in WEIGHT_DECAY], density))
        values = vars(params) | {
            "batch_tokens": params.batch_tokens or _batch_tokens(events),
            "learning_rate": rate,
            "dropout": _or(params.dropout, _between(DROPOUT, density)),
            "weight_decay": _or(params.weight_decay, decay * DECAY_RATE / rate),
            "negatives": _negatives(params, items),
        }
        return Recipe(**values)


def _or(chosen: float | None, derived: float) -> float:
    return derived if chosen is None else chosen


def _batch_tokens(events: int) -> int:
    """Choose a power of two from 512 to 8192 that gives about STEPS_AN_EPOCH steps per epoch."""
    exponent = round(math.log2(max(events, 1) / STEPS_AN_EPOCH))
    return int(2 ** min(max(exponent, 9), 13))


def _between(ends: Sequence[float], density: float) -> float:
    """Interpolate by events per item: the first of `ends` at SPARSE, the second at DENSE."""
    place = np.log(density / SPARSE) / np.log(DENSE / SPARSE)
    return float(np.interp(place, (0, 1), ends))


def _negatives(params: TransformerParams, items: int) -> int:
    if params.loss == "contrastive":
        return 0
    if params.loss != "softmax":
        return params.negatives or POINTWISE_DRAWS
    draws = params.negatives
    if draws is None:
        draws = DRAWS if items > EXACT_UP_TO else 0
    return draws if draws < items else 0
