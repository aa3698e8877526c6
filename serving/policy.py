"""The policy: turns scores into a slate, with the exact propensity of every slot.

Slots are drawn one after the other without replacement (Plackett-Luce, mixed with uniform
exploration). Given the items above it, an item takes the next slot with probability

    p(i | prefix) = (1 - epsilon) * softmax(-log(rank) / tau - penalty(i, prefix)) over candidates
                    + epsilon / |eligible|                 over the whole eligible catalogue

Both sets leave out the prefix. A candidate's rank is by score (1 is best), so its weight is
rank^(-1/tau). Only the order of a ranker's scores has a meaning, so nothing else of them is used
(docs/adr/0006). Uses only numpy. One request or thousands give the same numbers, to the last bit.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import numpy as np
from pydantic import Field
from scipy import sparse

from base.arrays import Bools, Float32s, Float64s, Int32s, Int64s
from base.params import Float, build
from features.items.multi_hot import dots

#: The largest share whose product with any total is still below that total after rounding.
_ALMOST_ONE: Final = 1.0 - 2.0**-52
#: If the remaining weight falls below this, it is computed anew relative to its largest, before it
#: underflows.
_FAINT: Final = 1e-100


@dataclass(frozen=True)
class PolicyParams:
    """Section `policy` of `params.yaml`."""

    temperature: Annotated[Float, Field(gt=0)] = 0.5
    """tau: a candidate's weight is its rank to the power of -1/tau. Above 0."""
    epsilon: Annotated[Float, Field(ge=0, le=1)] = 0.05
    """Share of uniform exploration over the eligible catalogue, in [0, 1]."""
    diversity: Annotated[Float, Field(ge=0)] = 0.0
    """Penalty (in logits) on a candidate for each earlier slot with the same categories.

    Partial overlap counts by cosine.
    """

    @staticmethod
    def written(values: Mapping[str, Any]) -> "PolicyParams":
        """From a release or a logged context.

        Older ones, from before draws were keyed by a secret (docs/adr/0018), have a `seed`, which
        affects no propensity and is ignored.
        """
        return build(PolicyParams, "policy", {k: v for k, v in values.items() if k != "seed"})


@dataclass(frozen=True)
class Slates:
    """The slates drawn. items: int32 [n, k], -1 where no item was left; propensities: float64
    [n, k], of each slot given the slots above it, 0 where no item was left."""

    items: Int32s
    propensities: Float64s


def uniforms(seed: str, k: int) -> Float64s:
    """k uniform numbers in [0, 1) for a seed: float64 [k].

    Counter-based (Philox, Salmon et al. 2011), so they do not depend on the order of requests. The
    first numbers do not depend on k. The service's seeds come from `signing.Signer.seed`.
    """
    digest = hashlib.blake2b(seed.encode(), digest_size=16).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest, "little")))
    return generator.random(k)


def uniforms_of(seeds: Sequence[str], k: int) -> Float64s:
    """`uniforms` of many seeds: float64 [n, k]."""
    rows = [uniforms(seed, k) for seed in seeds]
    return np.stack(rows) if rows else np.zeros((0, k))


def draw(
    scores: Float32s,
    candidates: Int32s,
    eligible: Bools,
    k: int,
    params: PolicyParams,
    uniforms: Float64s,
    categories: sparse.csr_matrix | None = None,
    shown: Int32s | None = None,
) -> Slates:
    """Draw k slots for each of n requests.

    scores: float32 [n, C], -inf where padded; candidates: int32 [n, C], -1 where padded, distinct
    within a request; eligible: bool [n, catalogue]; uniforms: float64 [n, k]; categories:
    multi-hot, sparse [catalogue, categories], needed if `params.diversity` is above 0; shown: int32
    [n, s], eligible items that take the first s slots. The other slots are drawn given these, with
    the uniform numbers from s on. Candidates that are not eligible or have no finite score can only
    be drawn by exploration, if eligible.
    """
    if eligible.shape[1] == 0:
        nothing = np.full((len(candidates), k), -1, dtype=np.int32)
        return Slates(nothing, np.zeros((len(candidates), k)))
    if candidates.shape[1] == 0:
        candidates = np.full((len(candidates), 1), -1, dtype=np.int32)
        scores = np.full(candidates.shape, -np.inf, dtype=np.float32)
    rows = np.arange(len(candidates))
    allowed = eligible[rows[:, None], candidates] & (candidates >= 0)
    walk = _Walk(scores, candidates, allowed, eligible.sum(axis=1), params, categories)
    items = np.full((len(candidates), k), -1, dtype=np.int32)
    propensities = np.zeros((len(candidates), k))
    given = 0 if shown is None else shown.shape[1]
    for slot in range(k):
        if shown is not None and slot < given:
            items[:, slot] = shown[:, slot]
            propensities[:, slot] = walk.take(items[:, slot])
            continue
        u, exploit = uniforms[:, slot], walk.exploit
        exploits = u < exploit
        inside = np.where(exploits, u / np.where(exploit > 0, exploit, 1.0), 0.0)
        # the first column whose running total exceeds the draw has a weight, so it is alive
        passed = np.minimum(inside, _ALMOST_ONE) * walk.totals
        column = np.minimum((walk.running <= passed[:, None]).sum(axis=1), walk.width - 1)
        chosen = np.where(exploits, candidates[rows, column], -1)
        for row in np.flatnonzero(~exploits & (walk.remaining > 0)):
            left = eligible[row].copy()
            left[items[row, :slot]] = False
            v = min((u[row] - exploit[row]) / (1.0 - exploit[row]), _ALMOST_ONE)
            chosen[row] = np.flatnonzero(left)[int(v * walk.remaining[row])]
        items[:, slot] = chosen
        propensities[:, slot] = walk.take(items[:, slot])
    return Slates(items, propensities)


def propensity(
    scores: Float32s,
    candidates: Int32s,
    eligible_count: Int64s,
    slates: Int32s,
    params: PolicyParams,
    categories: sparse.csr_matrix | None = None,
) -> Float64s:
    """The propensity of each slot of the given slates, float64 [n, k], 0 for empty slots (-1).

    scores, candidates: as in `draw`, only eligible candidates (those with -1 or a score of -inf
    are left out); eligible_count: int64 [n], number of eligible items; slates: int32 [n, k] of
    eligible items. With the logged context, this gives exactly the logged value. With another
    release's scores, it gives the propensity that this release would have had.
    """
    walk = _Walk(scores, candidates, candidates >= 0, eligible_count, params, categories)
    slots = [walk.take(slates[:, slot]) for slot in range(slates.shape[1])]
    return np.stack(slots, axis=1) if slots else np.zeros(slates.shape)


class _Walk:
    """n slates that are filled slot by slot from the top.

    For the next slot: running, float64 [n, C], cumulative softmax weights; totals, float64 [n];
    exploit, float64 [n], 1 - epsilon, or 0 if no candidate is left.
    """

    def __init__(
        self,
        scores: Float32s,
        candidates: Int32s,
        allowed: Bools,
        eligible_count: Int64s,
        params: PolicyParams,
        categories: sparse.csr_matrix | None,
    ) -> None:
        if params.diversity > 0 and categories is None:
            raise ValueError("policy.diversity is above 0: the policy needs the categories")
        self.params = params
        self.candidates = candidates
        self.width = candidates.shape[1]
        self.remaining = np.asarray(eligible_count, dtype=np.int64).copy()
        self.categories = categories if params.diversity > 0 else None
        alive = allowed & np.isfinite(scores)
        logits = -_log_ranks(scores, alive) / params.temperature
        self.logits = np.where(alive, logits, -np.inf)
        self.weights = np.zeros(candidates.shape)
        self._weigh(np.arange(len(candidates)))
        self._sum()

    def _weigh(self, rows: Int64s) -> None:
        """Compute the softmax weights of `rows`, relative to their best candidate."""
        top = self.logits[rows].max(axis=1, initial=-np.inf)
        shift = np.where(np.isfinite(top), top, 0.0)
        self.weights[rows] = np.exp(self.logits[rows] - shift[:, None])

    def _sum(self) -> None:
        # A running sum adds from left to right, so padding cannot change the total.
        self.running = np.cumsum(self.weights, axis=1)
        self.totals = self.running[:, -1] if self.width else np.zeros(len(self.logits))
        self.exploit = np.where(self.totals > 0, 1.0 - self.params.epsilon, 0.0)

    def take(self, chosen: Int32s) -> Float64s:
        """Put `chosen`, int32 [n], into the next slot and return its propensity, float64 [n]."""
        taken = chosen >= 0
        hit = (self.candidates == chosen[:, None]) & taken[:, None]
        own = np.where(hit, self.weights, 0.0).sum(axis=1)
        softmax = own / np.where(self.totals > 0, self.totals, 1.0)
        explore = (1.0 - self.exploit) / np.maximum(self.remaining, 1)
        result = np.where(taken, self.exploit * softmax + explore, 0.0)
        self.logits[hit] = -np.inf
        self.weights[hit] = 0.0
        self.remaining -= taken
        if self.categories is not None:
            near = _cosine(self.categories, np.maximum(self.candidates, 0), np.maximum(chosen, 0))
            self.logits -= self.params.diversity * near * taken[:, None]
            self._weigh(np.arange(len(chosen)))
        self._sum()
        faint = np.flatnonzero(self.totals < _FAINT)
        if len(faint):  # row by row, so that a batch gives what a single request does
            self._weigh(faint)
            self._sum()
        return result


def _log_ranks(scores: Float32s, alive: Bools) -> Float64s:
    """Logarithm of each candidate's rank by score within its request (1 is best): float64 [n, C].

    Equal scores rank in the order of the columns, which is logged. Candidates that are not alive
    come last.
    """
    order = np.argsort(np.where(alive, -scores, np.inf), axis=1, kind="stable")
    ranks = np.empty(scores.shape)
    np.put_along_axis(ranks, order, np.arange(1.0, scores.shape[1] + 1.0)[None], axis=1)
    return np.log(ranks)


def _cosine(categories: sparse.csr_matrix, items: Int32s, others: Int32s) -> Float64s:
    """Cosine of the categories of `items` [n, C] with those of one other item per request, [n].

    Returns float64 [n, C], 0 if one of the two has no categories.
    """
    common = dots(categories, items, categories[others].toarray())
    counts = np.diff(categories.indptr).astype(np.float64)
    return common / np.sqrt(np.maximum(counts[items] * counts[others][:, None], 1.0))
