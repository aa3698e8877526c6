"""Logged slates of a judge window, and what releases would have earned on them."""

from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from base.arrays import Bools, Int64s
from features.items.catalogue import Catalogue
from features.ragged import Ragged
from features.requests.requests import Requests
from features.requests.slates import Slates, load_slates
from training.contest import Scores
from training.recommender import Recommender
from training.slices import request_slices
from training.value.exposures import Policy
from training.value.ordering import Ordering
from training.value.paired import Earned, Shown, Target, earned, joined


@dataclass(frozen=True)
class LoggedSlates:
    """n slates whose outcomes are all known.

    requests: what was known at each; shown: the slates by the policy that drew them, each with its
    rows, int64; repeats: bool [n], the rule of the placement; open: number of slates left out
    because outcomes can still arrive; left_out: number of slates that cannot be valued.
    """

    requests: Requests
    shown: tuple[tuple[Int64s, Shown], ...]
    repeats: Bools
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
            _without_late_items(kept.requests, split),
            _by_policy(kept),
            kept.repeats,
            int((valued & slates.open).sum()),
            int((~valued).sum()),
        )

    def ordering(self, recommender: Recommender, threads: int = 1) -> Ordering:
        """The candidates of a release for each request."""
        parts: list[tuple[Int64s, Ordering]] = []
        for repeats in (False, True):
            rows = np.flatnonzero(self.repeats == repeats)
            ranked = recommender.rank(self.requests.select(rows), repeats, threads)
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


def _without_late_items(requests: Requests, split: Path) -> Requests:
    """The requests, which exclude items that the service did not know yet."""
    table = pq.read_table(split / "items.parquet", columns=["first_known"])
    first: Int64s = table["first_known"].cast(pa.int64()).to_numpy()
    before = requests.excluded or Ragged.empty(len(requests))
    recent = np.flatnonzero(first > requests.timestamps.min(initial=np.iinfo(np.int64).max))
    late = [
        sorted({*before[row].tolist(), *recent[first[recent] > moment].tolist()})
        for row, moment in enumerate(requests.timestamps)
    ]
    return requests.excluding(Ragged.from_lists(late))
