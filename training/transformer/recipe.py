"""What section `fit` leaves open (null), settled by the data: the rules, all in one place."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from training.transformer.config import TransformerParams

STEPS_AN_EPOCH: Final = 120
"""Fewer waste a small log's epochs, more are slow: a short step has the same fixed costs."""

SPARSE, DENSE = 12.0, 300.0
"""Events an item, of what is learned from, between which a log needs less and less regularisation:
those of Amazon Sports and of MovieLens-1M, on which the values below were chosen (docs/log.md)."""

DROPOUT: Final = (0.5, 0.3)
"""At SPARSE and below, at DENSE and above; between them on a line over the logarithm."""

WEIGHT_DECAY: Final = (2.0, 0.3)
"""As DROPOUT, on a line over its own logarithm, too; at DECAY_RATE. Per step a weight loses rate ×
decay of itself: at another rate, chosen or of another size, that product stays (Wang and Aitchison,
2024, "How to set AdamW's weight decay as you scale model and dataset size")."""

DECAY_RATE: Final = 3e-3
"""The learning rate that WEIGHT_DECAY was chosen at: then that of size `small`."""

EXACT_UP_TO: Final = 2**15
"""Items with an id up to which the softmax is exact.

A step of DRAWS costs the same for any catalogue, the exact one about as much at 10,000 items, three
times at this many and seven times at twice this many (docs/log.md): what is exact is dear here, and
not yet out of reach.
"""

DRAWS: Final = 2**13
"""Of a step of softmax with more items than that."""

POINTWISE_DRAWS: Final = 256
"""Of a step of the losses of single scores (as gSASRec; Petrov and Macdonald, 2023)."""


@dataclass(frozen=True, kw_only=True)
class Recipe(TransformerParams):
    """`TransformerParams` with nothing left open, of a log that is known."""

    batch_tokens: int
    learning_rate: float
    dropout: float
    weight_decay: float
    negatives: int
    """0: the loss needs no draws."""

    def __post_init__(self) -> None:
        """What is derived is in range, and the rest was checked before."""

    @property
    def derived(self) -> dict[str, float]:
        """What may follow from the data, by its name in section `fit`."""
        return {name: getattr(self, name) for name in Recipe.__annotations__}

    @staticmethod
    def of(params: TransformerParams, events: int, items: int) -> "Recipe":
        """For a log of so many events, with so many items that have an id; both at least 1."""
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
    """As many as make about STEPS_AN_EPOCH steps an epoch, a power of two from 512 to 8192."""
    exponent = round(math.log2(max(events, 1) / STEPS_AN_EPOCH))
    return int(2 ** min(max(exponent, 9), 13))


def _between(ends: Sequence[float], density: float) -> float:
    """By events an item: at SPARSE the first of the ends, at DENSE the second."""
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
