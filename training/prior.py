"""A small linear model of choice, which the trees start from.

Conditional logit (McFadden, 1974): within a request, P(item) ∝ exp(w · x). It has few weights, and
they are pulled towards the transformer's own probabilities. So even a rank window of a few hundred
requests, far too few for trees alone, gives an order about as good as the transformer's. The trees
then correct it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from base.arrays import Float32s, Float64s
from training.rank_features import FEATURES
from training.sources.all import SOURCES

FILE: Final = "prior.json"

#: The inputs. The transformer's, which is the first, starts with weight 1, all others with 0.
INPUTS: Final = (
    *(
        f"{source.name}_{'log_probability' if source.logits else 'z'}"
        for source in SOURCES
        if source.described
    ),
    "category_recent",
    "text_last",
    "item_trend",
    "item_unseen",
    "impressed",
)

_LIMIT: Final = 5.0


@dataclass(frozen=True)
class Prior:
    """score = Σ weight · clip((x − mean) / scale). A missing input counts as its mean."""

    inputs: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]

    def scores(self, features: Float32s) -> Float64s:
        """float64 [rows] for features [rows, len(FEATURES)]."""
        return np.asarray(self.standardise(features) @ np.array(self.weight), dtype=np.float64)

    def standardise(self, features: Float32s) -> Float64s:
        """The inputs as they are weighed: float64 [rows, inputs]."""
        values = features[:, [FEATURES.index(name) for name in self.inputs]].astype(np.float64)
        centred = np.nan_to_num((values - np.array(self.mean)) / np.array(self.scale))
        # The first input, a log probability, has the unit of the score. The others are clipped, so
        # that outliers do not dominate.
        centred[:, 1:] = np.clip(centred[:, 1:], -_LIMIT, _LIMIT)
        return np.asarray(centred, dtype=np.float64)

    def save(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def load(folder: Path) -> "Prior":
        values = json.loads((folder / FILE).read_text())
        return Prior(**{name: tuple(column) for name, column in values.items()})
