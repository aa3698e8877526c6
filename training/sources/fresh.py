"""Fresh items: the newest first, so that items without any event can be found."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from base.arrays import Int64s, Scores
from base.params import Float
from features.items.catalogue import Catalogue
from features.schema import DAY
from training.sources.asked import Asked
from training.sources.log import Log
from training.sources.source import MEMORY, Attached, Source


@dataclass(frozen=True)
class FreshParams:
    """Section `fresh`."""

    days: Float = 7.0
    """Items older than this many days are not fresh."""


@dataclass(frozen=True)
class Fresh(Source):
    """Scores 1 for an item created now, falling to 0 for an item that is `days` old."""

    days: float

    name = "fresh"
    params = FreshParams
    silent_at_zero = True
    described = False

    @classmethod
    def fit(cls, log: Log, until: int, params: FreshParams, memory: int = MEMORY) -> Self:
        return cls(params.days)

    def attach(self, catalogue: Catalogue) -> Attached:
        return self

    def scores(self, asked: Asked) -> Scores:
        return fresh_scores(asked.state.created_at, asked.requests.timestamps, self.days)


def fresh_scores(created_at: Int64s, timestamps: Int64s, days: float) -> Scores:
    """float32 [n, catalogue]: 1 for an item created now, 0 for one `days` old or older, or of
    unknown age.

    created_at: int64 [catalogue] or [n, catalogue], µs, 0 where unknown; timestamps: int64 [n], µs.
    """
    ages = (timestamps[:, None] - created_at) / DAY
    ages = np.where(created_at > 0, ages, np.nan).astype(np.float32)
    share = np.maximum(1.0 - ages / days, 0.0)
    return np.asarray(np.nan_to_num(share), dtype=np.float32)
