"""The linear prior and the LightGBM trees that correct it, as stored in a release."""

import json
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np

from base.arrays import Float32s
from training.prior import Prior
from training.rank_features import FEATURES
from training.sources.source import ReleaseError

MODEL_FILE = "model.txt"
FEATURES_FILE = "features.json"


@dataclass(frozen=True)
class Ranker:
    """score = prior + trees.

    features: the names, in order, that the booster was trained on.
    """

    booster: lightgbm.Booster
    prior: Prior
    features: tuple[str, ...]

    @staticmethod
    def load(folder: Path) -> "Ranker":
        """Load prior and trees.

        Raises ReleaseError if the trees use a feature that this code lacks.
        """
        names = tuple(json.loads((folder / FEATURES_FILE).read_text()))
        prior = Prior.load(folder)
        unknown = [name for name in (*names, *prior.inputs) if name not in FEATURES]
        if unknown:
            raise ReleaseError(f"{folder}: unknown features {', '.join(unknown)}")
        return Ranker(lightgbm.Booster(model_file=str(folder / MODEL_FILE)), prior, names)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MODEL_FILE).write_text(self.booster.model_to_string())
        self.prior.save(folder)
        (folder / FEATURES_FILE).write_text(json.dumps(self.features, indent=2) + "\n")

    def columns(self, features: Float32s) -> Float32s:
        """The columns of `features` [rows, len(FEATURES)] that these trees use, in their order."""
        if self.features == FEATURES:
            return features
        return features[:, [FEATURES.index(name) for name in self.features]]

    def scores(self, features: Float32s, threads: int = 1) -> Float32s:
        """float32 [rows] for features [rows, len(FEATURES)]."""
        if not len(features):
            return np.zeros(0, dtype=np.float32)
        correction = np.asarray(
            self.booster.predict(self.columns(features), num_threads=threads), dtype=np.float64
        )
        return np.asarray(self.prior.scores(features) + correction, dtype=np.float32)
