"""Logged slates of a judge window, and what releases would have earned on them."""

from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Final

import numpy as np

from base.arrays import Bools, Int64s
from features.items.catalogue import Catalogue
from features.requests.late_items import first_known, late_items, without_late_items
from features.requests.requests import Requests
from features.requests.slates import Slates, load_slates
from training.contest import Scores
from training.recommender import Recommender
from training.slices import request_slices
from training.value.exposures import Policy
from training.value.ordering import Ordering
from training.value.paired import Earned, Shown, Target, earned, joined

#: Requests times items that became known after them, ruled out at a time: 40 MB.
_LATE: Final = 10_000_000


@dataclass(frozen=True)
class LoggedSlates:
    """n slates whose outcomes are all known.

    requests: what was known at each; shown: the slates by the policy that drew them, each with its
    rows, int64; repeats: bool [n], the rule of the placement; known: int64 [catalogue], µs, when
    each item became known; open: number of slates left out because outcomes can still arrive;
    left_out: number of slates that cannot be valued.
    """

    requests: Requests
    shown: tuple[tuple[Int64s, Shown], ...]
    repeats: Bools
    known: Int64s
    open: int = 0
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.requests)

    @property
    def clicks(self) -> float:
        """Number of clicks."""
        return sum(float(shown.clicks.sum()) for _, shown in self.shown)

    @staticmethod
    def read(split: Path, features: Path) -> "LoggedSlates":
        """The slates of the judge window, from `data/split` and `data/features`.

        Left out are slates that continue an earlier one: their exposure is not known.
        """
        slates = load_slates(split, features, "judge")
        valued = (slates.given == 0) & (slates.eligible_count > 0)
        kept = slates.select(np.flatnonzero(valued & ~slates.open))
        return LoggedSlates(
            kept.requests,
            _by_policy(kept),
            kept.repeats,
            first_known(split),
            int((valued & slates.open).sum()),
            int((~valued).sum()),
        )

    def ordering(self, recommender: Recommender, threads: int = 1) -> Ordering:
        """The candidates of a release for each request, of the items known by then."""
        parts: list[tuple[Int64s, Ordering]] = []
        size = max(1, _LATE // max(len(late_items(self.requests, self.known)), 1))
        for repeats in (False, True):
            every = np.flatnonzero(self.repeats == repeats)
            for rows in np.split(every, range(size, len(every), size)):
                asked = without_late_items(self.requests.select(rows), self.known)
                ranked = recommender.rank(asked, repeats, threads)
                parts.append((rows, Ordering.of(ranked.scores, ranked.candidates)))
        items = np.full((len(self), max(o.items.shape[1] for _, o in parts)), -1, dtype=np.int32)
        for rows, part in parts:
            items[rows, : part.items.shape[1]] = part.items
        return Ordering(items)

    def scores(
        self, challenger: Target, other: Target, catalogue: Catalogue, clip: float
    ) -> Scores:
        """What each slate says of two releases. clip: as for `paired.earned`."""
        parts = []
        for rows, shown in self.shown:
            first, second = other.select(rows), challenger.select(rows)
            size, categories = len(catalogue), catalogue.categories
            parts.append((rows, earned(shown, first, second, size, clip, categories)))
        result: Earned = joined(parts, len(self))
        requests = self.requests
        return Scores.of_slates(
            result, requests.user_ids, requests.timestamps, request_slices(requests), self.open
        )


def _by_policy(slates: Slates) -> tuple[tuple[Int64s, Shown], ...]:
    policies = [
        Policy(float(p["temperature"]), float(p["epsilon"]), float(p.get("diversity", 0.0)))
        for p in slates.policies
    ]
    ordering = Ordering.of(slates.scores, slates.candidates)
    groups = []
    for policy in sorted(set(policies), key=astuple):
        rows = np.flatnonzero([each == policy for each in policies])
        shown = Shown(
            slates.users[rows],
            slates.items[rows],
            slates.clicks[rows],
            slates.eligible_count[rows],
            ordering.select(rows),
            policy,
        )
        groups.append((rows, shown))
    return tuple(groups)
