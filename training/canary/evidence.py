"""What is counted of a canary: sums that are enough for every look, whatever the log's length.

The unit is the user. Users are counted by stratum: an arm during a phase, in which the share of the
canary stayed the same. Arms are compared within phases, because a later phase has other days and a
larger share of canary users. As a user may be in several strata, the sums of products over users
are kept for all pairs of strata.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any, Final

import numpy as np

from base.arrays import Float64s, Int64s
from training.canary.params import CanaryParams


class Arm(IntEnum):
    """The arms, in the order of their numbers below."""

    CONTROL = 0
    CANARY = 1


@dataclass(frozen=True)
class Counts:
    """Counts by arm, [2] each.

    requests: slates served; failed: those that the canary should have answered and did not; slow:
    those that took too long; slots: items shown; pairs: Σ c (c - 1) over items, c: how often an
    item was shown.
    """

    requests: Float64s
    failed: Float64s
    slow: Float64s
    slots: Float64s
    pairs: Float64s

    @staticmethod
    def none() -> "Counts":
        return Counts(*(np.zeros(2) for _ in Counts.__dataclass_fields__))

    def plus(self, other: "Counts") -> "Counts":
        return Counts(*(getattr(self, n) + getattr(other, n) for n in Counts.__dataclass_fields__))


@dataclass(frozen=True)
class Evidence:
    """The sums of one canary. Stratum 2 · phase + arm; sums [2 · strata] hold slates and clicks.

    shares: the canary's share by phase; totals: float64 [2 · strata], Σ over users; products:
    float64 [2 · strata, 2 · strata], Σ over users of the products of their values; users: float64
    [strata], users of each; arrivals: float64 [phases, 2], users by the arm and phase in which they
    were first seen. A slate is in the sums once nothing can happen any more that counts for it; its
    user has arrived and its request is counted at once. closed: the offset of the log up to which
    slates are in the sums, None if all are that are counted.
    """

    shares: tuple[float, ...]
    totals: Float64s
    products: Float64s
    users: Float64s
    arrivals: Float64s
    counts: Counts
    closed: int | None = None

    @staticmethod
    def start(share: float) -> "Evidence":
        """Nothing yet, in the first phase."""
        sums = np.zeros(4)
        return Evidence(
            (share,), sums, np.zeros((4, 4)), np.zeros(2), np.zeros((1, 2)), Counts.none()
        )

    @property
    def phases(self) -> int:
        return len(self.shares)

    def grown(self, share: float) -> "Evidence":
        """The same with one phase more."""
        return replace(
            self,
            shares=(*self.shares, share),
            totals=np.append(self.totals, np.zeros(4)),
            products=np.pad(self.products, (0, 4)),
            users=np.append(self.users, np.zeros(2)),
            arrivals=np.vstack([self.arrivals, np.zeros((1, 2))]),
        )

    def with_users(self, before: Float64s, after: Float64s) -> "Evidence":
        """The same after what is known of some users changed.

        before, after: float64 [users, 2 · strata], their contributions (`contribution`); zeros for
        a user without one.
        """
        seen, now = before[:, 0::2] > 0, after[:, 0::2] > 0
        return replace(
            self,
            totals=self.totals + (after - before).sum(axis=0),
            products=self.products + after.T @ after - before.T @ before,
            users=self.users + (now & ~seen).sum(axis=0),
        )

    def with_arrivals(self, strata: Sequence[int] | Int64s) -> "Evidence":
        """The same after new users came, each to a stratum."""
        new = np.bincount(np.asarray(strata, dtype=int), minlength=2 * self.phases)
        return replace(self, arrivals=self.arrivals + new.reshape(-1, 2))

    def without(self, gone: Float64s, arrived: Sequence[int]) -> "Evidence":
        """The same as if some users had never come, except for the counts by arm.

        gone: float64 [users, 2 · strata], their contributions; arrived: the strata where they were
        first seen.
        """
        came = np.bincount(np.asarray(arrived, dtype=int), minlength=2 * self.phases)
        return replace(
            self,
            totals=self.totals - gone.sum(axis=0),
            products=self.products - gone.T @ gone,
            users=self.users - (gone[:, 0::2] > 0).sum(axis=0),
            arrivals=self.arrivals - came.reshape(-1, 2),
        )

    def with_counts(self, counts: Counts) -> "Evidence":
        return replace(self, counts=self.counts.plus(counts))

    def by_arm(self) -> Float64s:
        """Users by arm, float64 [2]; who moved between shares of one arm counts once per share."""
        by_arm: Float64s = self.users.reshape(-1, 2).sum(axis=0)
        return by_arm

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        counts = {n: getattr(self.counts, n).tolist() for n in Counts.__dataclass_fields__}
        sums = {n: getattr(self, n).tolist() for n in _SUMS}
        closed = {} if self.closed is None else {"closed": self.closed}
        return {"shares": list(self.shares), **sums, "counts": counts, **closed}

    @staticmethod
    def stored(content: dict[str, Any]) -> "Evidence":
        """What `plain` wrote. An older version had all that it counted in the sums."""
        sums = {n: np.array(content[n], dtype=float) for n in _SUMS}
        counts = {n: np.array(values, dtype=float) for n, values in content["counts"].items()}
        return Evidence(
            tuple(content["shares"]), **sums, counts=Counts(**counts), closed=content.get("closed")
        )


_SUMS: Final = ("totals", "products", "users", "arrivals")


def contribution(raw: Float64s, params: CanaryParams) -> Float64s:
    """What users count for: slates and clicks by stratum, float64 [users, 2 · strata].

    raw: float64 [users, strata, 2], slates and clicks as they happened. Beyond `max_slates` slates
    all of a user's slates count less, and clicks are cut at `max_clicks` per slate, so that one
    program or shared id cannot decide.
    """
    slates = raw[:, :, 0]
    kept = np.minimum(slates, params.max_slates)
    clicks = np.minimum(raw[:, :, 1], params.max_clicks * slates)
    weight = np.divide(kept, slates, out=np.zeros(slates.shape), where=slates > 0)
    return np.stack([kept, clicks * weight], axis=2).reshape(len(raw), 2 * raw.shape[1])
