"""Logged slates of a judge window, and what releases would have earned on them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from base.arrays import Bools, Int64s
from features.requests.requests import Requests
from training.contest import Scores
from training.recommender import Recommender
from training.slices import request_slices
from training.value.ordering import Ordering
from training.value.paired import Policy, Shown, earned


@dataclass(frozen=True)
class LoggedSlates:
    """n slates whose outcomes are all known.

    requests: what was known at each; shown: what was served; repeats: bool [n], the rule of the
    placement; open: number of slates left out because outcomes can still arrive.
    """

    requests: Requests
    shown: Shown
    repeats: Bools
    open: int = 0

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def clicks(self) -> float:
        """Number of clicks."""
        return float(self.shown.clicks.sum())

    def select(self, rows: Int64s) -> "LoggedSlates":
        """The slates of `rows`, in that order."""
        return LoggedSlates(
            self.requests.select(rows), self.shown.select(rows), self.repeats[rows], self.open
        )

    def ordering(self, recommender: Recommender, threads: int = 1) -> Ordering:
        """The candidates of a release for each request."""
        parts: dict[bool, tuple[Int64s, Ordering]] = {}
        for repeats in (False, True):
            rows = np.flatnonzero(self.repeats == repeats)
            ranked = recommender.rank(self.requests.select(rows), repeats, threads)
            parts[repeats] = rows, Ordering.of(ranked.scores, ranked.candidates)
        width = max(part.items.shape[1] for _, part in parts.values())
        items = np.full((len(self), width), -1, dtype=np.int32)
        for rows, part in parts.values():
            items[rows, : part.items.shape[1]] = part.items
        return Ordering(items)

    def scores(
        self, challenger: Ordering, other: Ordering, policy: Policy, catalogue: int, clip: float
    ) -> Scores:
        """What each slate says of two releases. Arguments as for `paired.earned`."""
        result = earned(self.shown, other, challenger, policy, catalogue, clip)
        slices: Mapping[str, Bools] = request_slices(self.requests)
        return Scores.of_slates(
            result, self.requests.user_ids, self.requests.timestamps, slices, self.open
        )
