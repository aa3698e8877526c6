"""Expected exposure under a policy with a diversity penalty, by drawing slates.

How a penalty changes the later slots depends on the categories of a request's candidates, so no
table by rank holds (`exposure`). Here slates are drawn for each request, and the propensities of
all its items are averaged slot by slot. Averaging propensities instead of counting what was drawn,
and numbers that fill the unit cube evenly (Sobol, 1967), take most of the noise away. Each request
shifts the numbers by its own (Cranley and Patterson, 1976), so that errors of requests are
independent. Explored items that are no candidates are penalised by, too; a few items of the
catalogue stand for them.
"""

from typing import Final

import numpy as np
from scipy import sparse
from scipy.stats import qmc

from base.arrays import Float32s, Float64s, Int64s
from features.items.multi_hot import cosines
from training.value.ordering import Ordering

#: Slates drawn for a request, a power of 2.
SAMPLES: Final = 512
#: Items of the catalogue that stand for explored ones.
_EXPLORED: Final = 64
#: The largest share whose product with any total is still below that total after rounding.
_ALMOST_ONE: Final = 1.0 - 2.0**-24


def drawn_exposure(
    ordering: Ordering,
    eligible: Int64s,
    slots: int,
    temperature: float,
    epsilon: float,
    diversity: float,
    categories: sparse.csr_matrix,
    samples: int = SAMPLES,
) -> Float32s:
    """Probability that an item stands in a slot: float32 [n, C + 1, slots], by rank of the
    candidate. The last row is that of any eligible item that is no candidate.

    ordering: candidates of n requests; eligible: int64 [n], number of eligible items; categories:
    multi-hot [catalogue, categories].
    """
    count, width = ordering.items.shape
    numbers = qmc.Sobol(slots, seed=0).random(samples)
    generator = np.random.default_rng(0)
    result = np.zeros((count, width + 1, slots), dtype=np.float32)
    for row, (items, number) in enumerate(zip(ordering.items, eligible, strict=True)):
        items = items[items >= 0]
        explored = generator.integers(categories.shape[0], size=_EXPLORED)
        above = np.concatenate([items, explored])
        penalties = np.exp(-diversity * cosines(categories, above, items)).astype(np.float32)
        uniforms = (numbers + generator.random(slots)) % 1.0
        ranked, other = _averaged(penalties, int(number), temperature, epsilon, uniforms)
        result[row, : len(items)], result[row, -1] = ranked, other
    return result


def _averaged(
    penalties: Float32s, eligible: int, temperature: float, epsilon: float, uniforms: Float64s
) -> tuple[Float64s, Float64s]:
    """Mean propensities of candidates, [C, slots], and of each other item, [slots].

    penalties: float32 [C + explored, C], factor on the weight of the second by a slot of the first;
    uniforms: float64 [samples, slots].
    """
    samples, slots = uniforms.shape
    count = penalties.shape[1]
    ranked, other = np.zeros((count, slots)), np.zeros(slots)
    ranks = np.arange(1.0, count + 1.0)
    weights = np.tile((ranks ** (-1.0 / temperature)).astype(np.float32), (samples, 1))
    alive = np.ones((samples, count), dtype=np.float32)
    others = np.full(samples, eligible - count)
    rows = np.arange(samples)
    for slot in range(min(slots, eligible)):
        left = eligible - slot
        running = np.cumsum(weights, axis=1)
        totals = running[:, -1] if count else np.zeros(samples)
        exploit = np.where(totals > 0, 1.0 - epsilon, 0.0)
        explore = (1.0 - exploit) / left
        share = exploit / np.where(totals > 0, totals, 1.0)
        ranked[:, slot] = (share @ weights + explore @ alive) / samples
        other[slot] = (explore * others).mean() / max(eligible - count, 1)
        u = uniforms[:, slot]
        passed = np.minimum(u / np.maximum(exploit, 1e-12), _ALMOST_ONE) * totals
        column = np.minimum((running <= passed[:, None]).sum(axis=1), count - 1)
        for row in np.flatnonzero(u >= exploit):
            at = int(min((u[row] - exploit[row]) / (1.0 - exploit[row]), _ALMOST_ONE) * left)
            there = np.flatnonzero(alive[row])
            column[row] = there[at] if at < len(there) else count + at % _EXPLORED
        weights *= penalties[column]
        candidate = column < count
        others -= ~candidate
        weights[rows[candidate], column[candidate]] = 0.0
        alive[rows[candidate], column[candidate]] = 0.0
        # So that strong penalties do not add up to an underflow.
        weights /= np.maximum(weights.max(axis=1, initial=0.0), np.finfo(np.float32).tiny)[:, None]
    return ranked, other
