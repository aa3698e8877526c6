"""Choose the items that a step is scored against, instead of the whole vocabulary."""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch

from base.arrays import Float32s, Float64s, Int64s
from training.transformer.data import Tokens
from training.transformer.packing import Batch, Sample
from training.transformer.recipe import Recipe

POWER: Final = 0.75
"""Exponent of an item's count in its share of the draws (Mikolov et al., 2013, "Distributed
representations")."""

UNIFORM: Final = 0.5
"""Share of draws that treat all items alike, so that rare items do not get too high a weight."""


class Sampler(Protocol):
    """Restricts a step to some items.

    A pure function of (batch, epoch, step). It is the same on all devices that share a step, so
    they minimise the same loss as one device would, and a resumed run repeats an uninterrupted one.
    """

    def sample(self, batch: Batch, epoch: int, step: int, /) -> Batch: ...


def sampler_of(recipe: Recipe, log: Tokens, vocabulary: Int64s) -> Sampler | None:
    """The sampler for the recipe's loss and negatives, or None for the exact softmax.

    vocabulary: int64 [items with an id], their indices in the log.
    """
    size = int(vocabulary.max()) + 1
    if recipe.loss == "contrastive":
        targets = log.counts(size, targets=True)[vocabulary]
        return InBatch(targets / targets.sum())
    if not recipe.negatives:
        return None
    uniform = UNIFORM if recipe.loss == "softmax" else 1.0
    return Drawn.of(log.counts(size)[vocabulary], recipe.negatives, recipe.seed, uniform)


@dataclass(frozen=True)
class Drawn:
    """Draws with replacement. Each item drawn is used once, so the sample is a set.

    cumulative: float64 [vocabulary], cumulated shares of the draws; log_chances: float32
    [vocabulary], log of the probability to be in the set.
    """

    cumulative: Float64s
    log_chances: Float32s
    draws: int
    seed: int

    @staticmethod
    def of(counts: Int64s, draws: int, seed: int, uniform: float = UNIFORM) -> "Drawn":
        """counts: int64 [vocabulary], events per item; uniform: share of draws that ignore the
        counts."""
        popular = counts.astype(np.float64) ** POWER
        share = (1 - uniform) * popular / popular.sum() + uniform / len(counts)
        return Drawn(np.cumsum(share), _log_chances(share, draws), draws, seed)

    def sample(self, batch: Batch, epoch: int, step: int) -> Batch:
        random = np.random.default_rng((self.seed, epoch, step))
        places = np.searchsorted(self.cumulative, random.random(self.draws) * self.cumulative[-1])
        drawn = np.unique(np.minimum(places, len(self.cumulative) - 1))
        return _narrowed(batch, drawn, self.log_chances[drawn])


@dataclass(frozen=True)
class InBatch:
    """The targets of a step are the negatives of each other.

    They are weighted by the probability that they are in the step, so that popular items do not
    count more (as Yi et al., 2019, with another formula). shares: float64 [vocabulary], each item's
    share of the log's targets.
    """

    shares: Float64s

    def sample(self, batch: Batch, _epoch: int, _step: int) -> Batch:
        present = np.unique(batch.all_targets)
        return _narrowed(batch, present, _log_chances(self.shares[present], len(batch.all_targets)))


def _log_chances(shares: Float64s, draws: int) -> Float32s:
    """Log of 1 − (1 − share)^draws, the probability to be drawn at least once."""
    chances = -np.expm1(draws * np.log1p(-shares))
    return np.asarray(np.log(chances), dtype=np.float32)


def _narrowed(batch: Batch, drawn: Int64s, log_chances: Float32s) -> Batch:
    """Renumber the batch's items by their position among the items of this step.

    drawn: int64 [n], ascending; log_chances: of each.
    """
    items, targets = batch.inputs.items.numpy(), batch.targets.numpy()
    real = items >= 0
    rows = np.unique(np.concatenate([items[real], targets, drawn]))
    read = items.copy()
    read[real] = np.searchsorted(rows, items[real])
    return batch._replace(
        inputs=batch.inputs._replace(items=torch.from_numpy(read)),
        targets=torch.from_numpy(np.searchsorted(rows, targets)),
        sample=Sample(
            torch.from_numpy(rows),
            torch.from_numpy(np.searchsorted(rows, drawn)),
            torch.from_numpy(log_chances),
        ),
    )
