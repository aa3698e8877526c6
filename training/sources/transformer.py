"""The transformer as a candidate source. The model itself is in `training/transformer/`.

torch is imported only when a model is loaded, so that code that only needs names stays fast.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from base.arrays import Scores
from base.settings import Settings
from features.items.catalogue import Catalogue
from training.sources.asked import Asked
from training.sources.log import Log
from training.sources.source import MEMORY, Source
from training.transformer.config import RunOptions, TransformerParams

if TYPE_CHECKING:
    from training.transformer.scorer import AttachedScorer, Scorer


@dataclass(frozen=True)
class TransformerSource(Source):
    """The score is the logit of the next item.

    Users without a history are represented by a start token, and items without an id by their
    content.
    """

    scorer: "Scorer"

    name = "transformer"
    params = TransformerParams
    stage = "fit"
    silent_at_zero = False
    logits = True
    judged = True

    @classmethod
    def fit(cls, log: Log, until: int, params: TransformerParams, memory: int = MEMORY) -> Self:
        """Train as stage `fit` does.

        Uses the run options of the environment, and resumes an interrupted run from its last epoch.
        """
        from training.transformer.training import train

        trained = train(log.split, until, params, RunOptions(), Settings().root)
        trained.clear()
        return cls(trained.scorer())

    def attach(self, catalogue: Catalogue) -> "AttachedTransformer":
        return AttachedTransformer(self.scorer.attach(catalogue))

    def save(self, folder: Path) -> None:
        """Write the same files as stage `fit`."""
        self.scorer.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Load the folder written by stage `fit`."""
        from training.transformer.scorer import Scorer

        return cls(Scorer.load(folder))


@dataclass(frozen=True)
class AttachedTransformer:
    """The model attached to one catalogue."""

    scorer: "AttachedScorer"

    def scores(self, asked: Asked) -> Scores:
        requests = asked.requests
        return self.scorer.scores(requests.histories, requests.timestamps, asked.seen)
