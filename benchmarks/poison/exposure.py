"""How often a release shows each item on a morning, in the slates that the service would draw."""

from pathlib import Path

import numpy as np

from base.arrays import Float64s
from base.params import load
from benchmarks.gate.day import first_requests
from benchmarks.gate.morning import Morning
from serving.policy import PolicyParams
from simulation import behaviour
from training.recommender import Recommender
from training.value.exposure import exposure

TOP = 10


def exposures(data: Path, params: Path) -> tuple[dict[str, tuple[float, float]], float]:
    """Of each item: its share of the slots of the first slates of all people, weighted by how often
    a slot is looked at, and the share of people in whose ten best items it is. And the true number
    of wanted items that are looked at, per slate.

    data: of a pipeline whose release serves; params: its params.yaml.
    """
    morning = Morning.read(data, params)
    policy = load(PolicyParams, "policy", params)
    requests = first_requests(morning)
    release = Recommender.assemble(
        morning.catalogue, data / "candidates" / "sources", data / "transformer", data / "trees"
    )
    ranked, eligible = release.rank(requests), release.eligible(requests)
    world = morning.market.params
    looks = behaviour.examination(world.slate_size, world.examination)
    shown, wanted = np.zeros(len(morning.catalogue)), 0.0
    for row, account in enumerate(morning.accounts):
        slate = _slate(ranked.candidates[row], ranked.scores[row], eligible[row], looks, policy)
        logits = morning.market.today.current_logits(
            morning.accounts[row : row + 1], morning.market.satiation[account][None]
        )
        wanted += float(slate[morning.item_of] @ behaviour.attraction(logits[0]))
        shown += slate
    best = ranked.top(TOP)
    tops = np.bincount(best[best >= 0], minlength=len(shown)) / len(requests)
    shares = shown / shown.sum()
    found = {
        str(item): (float(shares[at]), float(tops[at]))
        for at, item in enumerate(morning.catalogue.item_ids)
    }
    return found, wanted / len(requests)


def _slate(
    candidates: np.ndarray, scores: np.ndarray, eligible: np.ndarray, looks: Float64s,
    policy: PolicyParams,
) -> Float64s:  # fmt: skip
    """Expected looks at each item of one slate."""
    usable = (candidates >= 0) & np.isfinite(scores)
    usable &= eligible[candidates]
    order = candidates[usable][np.argsort(-scores[usable], kind="stable")]
    found = exposure(
        len(order), int(eligible.sum()), len(looks), policy.temperature, policy.epsilon
    )
    result: Float64s = np.where(eligible, found.explored @ looks, 0.0)
    result[order] = found.ranked @ looks
    return result
