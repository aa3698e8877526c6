"""A readable linear model of choice: where the trees start from.

Conditional logit (McFadden, 1974): within a request, P(item) ∝ exp(w · x). It has a handful of
weights, pulled towards the transformer's own probabilities, so that a rank window of a few hundred
requests, far too little for trees alone, still leaves the order at least as good as the
transformer's. The trees then correct it.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from training.rank_features import FEATURES

FILE: Final = "prior.json"

#: The inputs; the first starts at weight 1, the others at 0.
INPUTS: Final = (
    "transformer_log_probability",
    "neighbours_z",
    "content_z",
    "popularity_z",
    "category_recent",
    "text_last",
    "item_trend",
    "item_unseen",
    "impressed",
)

_LIMIT: Final = 5.0

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Prior:
    """score = Σ weight · clip((x − mean) / scale); a missing input counts as its mean."""

    inputs: tuple[str, ...]
    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weight: tuple[float, ...]

    def scores(self, features: npt.NDArray[np.float32]) -> Floats:
        """float64 [rows] for features [rows, len(FEATURES)]."""
        return np.asarray(self.standardise(features) @ np.array(self.weight), dtype=np.float64)

    def standardise(self, features: npt.NDArray[np.float32]) -> Floats:
        """float64 [rows, inputs]."""
        values = features[:, [FEATURES.index(name) for name in self.inputs]].astype(np.float64)
        centred = np.nan_to_num((values - np.array(self.mean)) / np.array(self.scale))
        # The log probability is in units of the score; the others are kept from running off.
        centred[:, 1:] = np.clip(centred[:, 1:], -_LIMIT, _LIMIT)
        return np.asarray(centred, dtype=np.float64)

    def save(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def load(folder: Path) -> "Prior":
        values = json.loads((folder / FILE).read_text())
        return Prior(**{name: tuple(column) for name, column in values.items()})


def fit_prior(
    features: npt.NDArray[np.float32],
    label: npt.NDArray[np.int8],
    sizes: npt.NDArray[np.int64],
    reg: float,
) -> Prior:
    """Maximum likelihood with an L2 pull of strength `reg` towards the transformer alone.

    features: float32 [rows, len(FEATURES)]; label: int8 [rows], 1 for what was chosen; sizes:
    int64 [groups], rows of each group, in order. A group's chosen items share its weight of 1.
    """
    columns = [FEATURES.index(name) for name in INPUTS]
    values = np.where(np.isfinite(features[:, columns]), features[:, columns], np.nan)
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0, dtype=np.float64) / count
    spread = np.sqrt((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / count)
    scale = np.where(spread > 1e-6, spread, 1.0)
    mean[0], scale[0] = 0.0, 1.0
    start = np.zeros(len(INPUTS))
    start[0] = 1.0
    empty = Prior(INPUTS, tuple(mean.tolist()), tuple(scale.tolist()), tuple(start.tolist()))
    inputs = empty.standardise(features)
    begin = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    group = np.repeat(np.arange(len(sizes)), sizes)
    wanted = label / np.maximum(np.add.reduceat(label.astype(np.float64), begin), 1.0)[group]

    def loss(weight: Floats) -> tuple[float, Floats]:
        score = inputs @ weight
        score -= np.maximum.reduceat(score, begin)[group]
        total = np.add.reduceat(np.exp(score), begin)
        log_probability = score - np.log(total)[group]
        gradient = inputs.T @ (np.exp(log_probability) - wanted) + 2 * reg * (weight - start)
        pull = reg * float(((weight - start) ** 2).sum())
        return pull - float(wanted @ log_probability), gradient

    found = minimize(loss, start, jac=True, method="L-BFGS-B")
    return Prior(INPUTS, empty.mean, empty.scale, tuple(float(w) for w in found.x))
