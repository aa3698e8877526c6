"""The true value of systems: what each would show the same users at the same moment.

Served, frozen, popularity and oracle answer the same requests, with the same state, history,
eligible items, uniform numbers and exploring policy. The market computes the value of each slate
exactly.
"""

from dataclasses import dataclass

import numpy as np

from base.arrays import Float32s, Float64s, Int32s, Objects
from features.items.catalogue import Catalogue
from features.online import OnlineStore
from features.requests.requests import Requests
from serving.policy import PolicyParams, draw, uniforms_of
from simulation.valuation import Snapshot
from training.bootstrap import Interval, paired_interval
from training.metrics.lists import best_columns, top_lists
from training.recommender import Recommender

SYSTEMS = ("served", "frozen", "popularity", "oracle")
SLATE = 10


@dataclass(frozen=True)
class Valuation:
    """Expected reward of each user's slate by system, float64 [people] each.

    Both for slates drawn by the exploring policy and for the greedy list.
    """

    rewards: dict[str, Float64s]
    greedy: dict[str, Float64s]

    def means(self) -> dict[str, float]:
        return {system: float(values.mean()) for system, values in self.rewards.items()}

    def greedy_means(self) -> dict[str, float]:
        return {system: float(values.mean()) for system, values in self.greedy.items()}

    def minus(self, other: str, seed: int, confidence: float) -> Interval:
        """Served minus `other`, paired by user, two-sided at `confidence`."""
        served, people = self.rewards["served"], np.arange(len(self.rewards["served"]))
        return paired_interval(served, self.rewards[other], people, seed, confidence=confidence)


def requests_now(
    online: OnlineStore,
    catalogue: Catalogue,
    user_ids: Objects,
    timestamp: int,
    history_length: int,
) -> Requests:
    """The requests that the service would see if these users asked at `timestamp`, µs.

    history_length: that of the release being served.
    """
    rows = online.read([str(user_id) for user_id in user_ids], catalogue, history_length)
    moments = np.full(len(user_ids), timestamp, dtype=np.int64)
    return rows.requests(user_ids, moments, online.read_items(catalogue)[None])


def value(
    snapshot: Snapshot,
    requests: Requests,
    served: Recommender | None,
    frozen: Recommender,
    policy: PolicyParams,
) -> Valuation:
    """Compute the value of every system for the users of `snapshot`.

    served and frozen use the same catalogue. served is None before the first promotion; the service
    then answers by recency-popularity.
    """
    catalogue = frozen.catalogue
    eligible = frozen.eligible(requests)
    attraction = _attraction(snapshot, catalogue)
    known = (served or frozen).scores_of("popularity", requests)
    ranked = {name: r.rank(requests, threads=2) for name, r in _models(served, frozen).items()}
    width = max(r.candidates.shape[1] for r in ranked.values())
    lists = {name: (r.scores, r.candidates) for name, r in ranked.items()}
    lists["popularity"] = _best(known, width)
    lists["oracle"] = _best(np.where(eligible, attraction, -np.inf).astype(np.float32), width)
    lists.setdefault("served", lists["popularity"])
    # Simulated users need no secret, and every run must draw the same for them.
    seeds = [f"1:value-{snapshot.day}-{user_id}" for user_id in snapshot.user_ids]
    numbers = uniforms_of(seeds, SLATE)
    rewards, greedy = {}, {}
    for name in SYSTEMS:
        scores, candidates = lists[name]
        slates = draw(
            scores, candidates, eligible, SLATE, policy, numbers, catalogue.categories
        ).items
        rewards[name] = _worth(snapshot, catalogue, slates)
        greedy[name] = _worth(snapshot, catalogue, top_lists(scores, SLATE, candidates))
    return Valuation(rewards, greedy)


def _models(served: Recommender | None, frozen: Recommender) -> dict[str, Recommender]:
    return {"frozen": frozen} if served is None else {"served": served, "frozen": frozen}


def _best(scores: Float32s, count: int) -> tuple[Float32s, Int32s]:
    """The `count` best columns of scores [n, catalogue] as (scores, candidates), [n, count]."""
    best = best_columns(scores, count)
    values = np.take_along_axis(scores, best, axis=1)
    return values, np.where(np.isfinite(values), best, -1).astype(np.int32)


def _attraction(snapshot: Snapshot, catalogue: Catalogue) -> Float64s:
    """float64 [people, catalogue]: the market's attraction, by index of the catalogue."""
    column = {item_id: i for i, item_id in enumerate(snapshot.item_ids)}
    columns = np.array([column.get(item_id, -1) for item_id in catalogue.item_ids])
    values = snapshot.attraction[:, columns]
    values[:, columns < 0] = -np.inf
    return np.asarray(values, dtype=np.float64)


def _worth(snapshot: Snapshot, catalogue: Catalogue, slates: Int32s) -> Float64s:
    ids = np.full(len(catalogue) + 1, None, dtype=object)
    ids[:-1] = catalogue.item_ids  # index −1 is the padding
    return snapshot.expected_reward(ids[slates])
