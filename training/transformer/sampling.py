"""Which items a step of sampled softmax is scored against, instead of the whole vocabulary."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch

from training.transformer.data import Ints
from training.transformer.packing import Batch, Sample

EXACT_UP_TO: Final = 2**15
"""Items with an id up to which the softmax is exact if `fit.negatives` leaves it open.

A step of DRAWS costs the same for any catalogue, the exact one about as much at 10,000 items, three
times at this many and seven times at twice this many (docs/log.md): what is exact is dear here, and
not yet out of reach.
"""

DRAWS: Final = 2**13
"""Of a step with more items than that."""

POWER: Final = 0.75
"""Of an item's count in its share of the draws (Mikolov et al., 2013, "Distributed
representations")."""

UNIFORM: Final = 0.5
"""Share of the draws in which all items are alike, so that no rare one weighs too much."""


def draws_of(negatives: int | None, vocabulary: int) -> int:
    """Draws of a step, 0 for the exact softmax, by `fit.negatives` and the items with an id."""
    if negatives is None:
        negatives = DRAWS if vocabulary > EXACT_UP_TO else 0
    return negatives if negatives < vocabulary else 0


@dataclass(frozen=True)
class Sampler:
    """Draws with replacement, kept once each: what is scored is a set.

    cumulative: float64 [vocabulary], of the shares of the draws; log_chances: float32
    [vocabulary], log of the chance 1 − (1 − share)^draws of being in the set.
    """

    cumulative: npt.NDArray[np.float64]
    log_chances: npt.NDArray[np.float32]
    draws: int
    seed: int

    @staticmethod
    def of(counts: Ints, draws: int, seed: int) -> "Sampler":
        """counts: int64 [vocabulary], events of each item, two items at least."""
        popular = counts.astype(np.float64) ** POWER
        share = (1 - UNIFORM) * popular / popular.sum() + UNIFORM / len(counts)
        chance = -np.expm1(draws * np.log1p(-share))
        return Sampler(np.cumsum(share), np.log(chance).astype(np.float32), draws, seed)

    def sample(self, batch: Batch, epoch: int, step: int) -> Batch:
        """The batch with the items drawn for this step, the same on all devices.

        A pure function of (batch, seed, epoch, step): devices that share a step then minimise
        what one alone would, and a resumed run repeats an unbroken one.
        """
        random = np.random.default_rng((self.seed, epoch, step))
        places = np.searchsorted(self.cumulative, random.random(self.draws) * self.cumulative[-1])
        drawn = np.unique(np.minimum(places, len(self.cumulative) - 1))
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
                torch.from_numpy(self.log_chances[drawn]),
            ),
        )
