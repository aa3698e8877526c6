"""Content: items whose text is similar to the user's recent history."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from base.arrays import Scores
from features.items.catalogue import Catalogue
from training.sources.asked import Asked
from training.sources.log import Log
from training.sources.source import MEMORY, Attached, Source


@dataclass(frozen=True)
class Content(Source):
    """Dot product of an item's text vector with the weighted mean of the recent items' vectors.

    Nothing is learned, so an item created a minute ago is scored like any other.
    """

    name = "content"
    silent_at_zero = True
    scores_new_users = False

    @classmethod
    def fit(cls, log: Log, until: int, params: Any, memory: int = MEMORY) -> Self:
        return cls()

    def attach(self, catalogue: Catalogue) -> Attached:
        return self

    def scores(self, asked: Asked) -> Scores:
        liked = np.asarray(asked.seen.weights(asked.recent) @ asked.tables.catalogue.all_text)
        return asked.seen.scores(liked @ asked.tables.text_columns)
