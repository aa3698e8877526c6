"""The policy: exact propensities, the distribution it claims, reproducible draws."""

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from base.params import ParamsError
from serving.policy import PolicyParams, draw, propensity, uniforms, uniforms_of


def one_request(
    items: int, candidates: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores [1, C], candidates [1, C], eligible [1, items]; some candidates are not eligible."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(items)[:candidates].astype(np.int32)[None]
    eligible = rng.random((1, items)) < 0.8
    eligible[0, 0] = True
    scores = rng.normal(size=(1, candidates)).astype(np.float32)
    return scores, chosen, eligible


def by_hand(
    scores: dict[int, float], eligible: set[int], prefix: list[int], tau: float, epsilon: float
) -> dict[int, float]:
    """The formula of docs/adr/0006, written from its text with dictionaries."""
    best_first = sorted((i for i in scores if i in eligible), key=lambda i: (-scores[i], i))
    weights = {i: rank ** (-1 / tau) for rank, i in enumerate(best_first, start=1)}
    left = {i: weight for i, weight in weights.items() if i not in prefix}
    pool = [i for i in eligible if i not in prefix]
    share = (1 - epsilon) if left else 0.0
    total = sum(left.values())
    return {i: share * left.get(i, 0) / (total or 1) + (1 - share) / len(pool) for i in pool}


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    items=st.integers(3, 12),
    candidates=st.integers(0, 8),
    tau=st.sampled_from([0.05, 0.5, 3.0]),
    epsilon=st.sampled_from([0.0, 0.05, 1.0]),
)
def test_each_slot_has_the_probability_of_the_formula_and_they_sum_to_one(
    seed: int, items: int, candidates: int, tau: float, epsilon: float
) -> None:
    scores, chosen, eligible = one_request(items, min(candidates, items), seed)
    params = PolicyParams(temperature=tau, epsilon=epsilon)
    k = items + 1
    slates = draw(scores, chosen, eligible, k, params, uniforms_of([str(seed)], k))
    pool = set(np.flatnonzero(eligible[0]).tolist())
    table = dict(zip(chosen[0].tolist(), scores[0].astype(float).tolist(), strict=True))
    prefix: list[int] = []
    for item, logged in zip(slates.items[0], slates.propensities[0], strict=True):
        if item < 0:
            assert logged == 0
            assert pool <= set(prefix)
            continue
        law = by_hand(table, pool, prefix, tau, epsilon)
        assert sum(law.values()) == pytest.approx(1)
        assert logged == pytest.approx(law[int(item)], rel=1e-9, abs=1e-300)
        usable = np.where(np.isin(chosen, list(pool)), chosen, -1)
        every = np.array([[*prefix, i] for i in law], dtype=np.int32)
        rows = np.zeros(len(every), dtype=int)
        all_p = propensity(scores[rows], usable[rows], eligible.sum(1)[rows], every, params)
        assert all_p[:, -1].sum() == pytest.approx(1)
        prefix.append(int(item))
    assert len(set(prefix)) == len(prefix)
    assert set(prefix) <= pool


def test_only_the_order_of_the_scores_counts() -> None:
    """Scores of another release, with another scale and shape, give the same exploration."""
    scores, chosen, eligible = one_request(30, 20, seed=3)
    scores[0, 7] = scores[0, 8]  # a tie, which goes to the first
    numbers = uniforms_of(["r"], 10)
    slates = [
        draw(shape(scores).astype(np.float32), chosen, eligible, 10, PolicyParams(), numbers)
        for shape in (lambda x: x, lambda x: 100 * x - 7, lambda x: np.exp(3 * x))
    ]
    for other in slates[1:]:
        np.testing.assert_array_equal(slates[0].items, other.items)
        np.testing.assert_array_equal(slates[0].propensities, other.propensities)


def test_slates_occur_as_often_as_their_propensities_say() -> None:
    scores = np.array([[1.0, 0.3, -0.5]], dtype=np.float32)
    candidates = np.array([[2, 0, 3]], dtype=np.int32)
    eligible = np.array([[False, False, True, True, True]])
    params = PolicyParams(temperature=1.0, epsilon=0.3)
    n, k = 40_000, 2
    rows = np.zeros(n, dtype=int)
    numbers = uniforms_of([f"r{i}" for i in range(n)], k)
    slates = draw(scores[rows], candidates[rows], eligible[rows], k, params, numbers)
    law: dict[tuple[int, ...], float] = {}
    table = {2: 1.0, 3: -0.5}  # item 0 is a candidate but not eligible
    for pair in itertools.permutations([2, 3, 0, 4], k):
        if 0 in pair:
            continue
        first = by_hand(table, {2, 3, 4}, [], 1.0, 0.3)[pair[0]]
        second = by_hand(table, {2, 3, 4}, [pair[0]], 1.0, 0.3)[pair[1]]
        law[pair] = first * second
    assert sum(law.values()) == pytest.approx(1)
    for pair, p in law.items():
        share = float((slates.items == np.array(pair)).all(axis=1).mean())
        assert abs(share - p) < 5 * math.sqrt(p * (1 - p) / n), pair


def test_what_was_logged_gives_the_logged_propensity_exactly_after_json() -> None:
    rng = np.random.default_rng(3)
    n, catalogue, width, k = 50, 300, 90, 10
    candidates = np.stack([rng.permutation(catalogue)[:width] for _ in range(n)]).astype(np.int32)
    scores = rng.normal(size=(n, width)).astype(np.float32)
    pad = rng.random((n, width)) < 0.2
    candidates[pad], scores[pad] = -1, -np.inf
    eligible = rng.random((n, catalogue)) < 0.9
    categories = sparse.csr_matrix((rng.random((catalogue, 6)) < 0.3).astype(np.float32))
    params = PolicyParams(temperature=0.3, epsilon=0.05, diversity=0.7)
    ids = [f"r{i}" for i in range(n)]
    numbers = uniforms_of(ids, k)
    batch = draw(scores, candidates, eligible, k, params, numbers, categories)
    for row in range(n):
        kept = (candidates[row] >= 0) & eligible[row, candidates[row]]
        context = json.loads(
            json.dumps(
                {
                    "candidates": candidates[row, kept].tolist(),
                    "scores": scores[row, kept].tolist(),
                    "eligible": int(eligible[row].sum()),
                    "slate": batch.items[row].tolist(),
                }
            )
        )
        again = propensity(
            np.array([context["scores"]], dtype=np.float32),
            np.array([context["candidates"]], dtype=np.int32),
            np.array([context["eligible"]]),
            np.array([context["slate"]], dtype=np.int32),
            params,
            categories,
        )
        assert again[0].tolist() == batch.propensities[row].tolist()
        alone = draw(
            scores[[row]], candidates[[row]], eligible[[row]], k, params, numbers[[row]], categories
        )
        assert alone.items[0].tolist() == batch.items[row].tolist()


def test_the_same_seed_draws_the_same_numbers_and_others_do_not() -> None:
    assert uniforms("a", 10).tolist() == uniforms("a", 10).tolist()
    assert uniforms("a", 10)[:3].tolist() == uniforms("a", 3).tolist()
    assert uniforms("a", 10).tolist() != uniforms("b", 10).tolist()


def test_a_slate_that_goes_on_is_the_longer_slate() -> None:
    scores, candidates, eligible = one_request(40, 12, 5)
    params = PolicyParams(temperature=1.0, epsilon=0.3)
    numbers = uniforms_of(["x"], 9)
    whole = draw(scores, candidates, eligible, 9, params, numbers)
    for first in (0, 1, 4, 9):
        parts = draw(scores, candidates, eligible, 9, params, numbers, shown=whole.items[:, :first])
        assert parts.items.tolist() == whole.items.tolist()
        assert parts.propensities.tolist() == whole.propensities.tolist()


def test_what_releases_and_contexts_of_before_say_of_a_seed_is_left_out() -> None:
    assert PolicyParams.written({"epsilon": 0.1, "seed": 1}) == PolicyParams(epsilon=0.1)


def test_the_policy_does_not_depend_on_the_scale_of_the_scores() -> None:
    scores, candidates, eligible = one_request(20, 12, 5)
    eligible[:] = True
    numbers = uniforms_of(["x"], 5)
    base = draw(scores, candidates, eligible, 5, PolicyParams(), numbers)
    scaled = draw(scores * 1000 + 5, candidates, eligible, 5, PolicyParams(), numbers)
    assert base.items.tolist() == scaled.items.tolist()
    np.testing.assert_allclose(base.propensities, scaled.propensities, rtol=1e-2)


def test_diversity_makes_a_second_item_of_one_category_less_likely() -> None:
    candidates = np.array([[0, 1, 2]], dtype=np.int32)
    scores = np.array([[1.0, 0.5, 0.0]], dtype=np.float32)
    categories = sparse.csr_matrix(np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32))
    slate, count = np.array([[0, 1]], dtype=np.int32), np.array([3])
    plain, diverse = (
        propensity(scores, candidates, count, slate, PolicyParams(1.0, 0.0, d), categories)
        for d in (0.0, 1.0)
    )
    assert diverse[0, 0] == plain[0, 0]
    odds = (plain[0, 1] / (1 - plain[0, 1])) / (diverse[0, 1] / (1 - diverse[0, 1]))
    assert odds == pytest.approx(math.e)


def test_a_tiny_temperature_is_greedy_without_underflow() -> None:
    candidates = np.arange(50, dtype=np.int32)[None]
    scores = np.linspace(-1, 1, 50).astype(np.float32)[None]
    eligible = np.ones((1, 50), dtype=bool)
    params = PolicyParams(temperature=1e-4, epsilon=0.0)
    slates = draw(scores, candidates, eligible, 50, params, uniforms_of(["g"], 50))
    assert slates.items[0].tolist() == list(range(49, -1, -1))
    assert (slates.propensities > 0.99).all()


@pytest.mark.parametrize(
    ("field", "value"), [("temperature", 0.0), ("epsilon", 1.5), ("diversity", -1.0)]
)
def test_impossible_params_are_named(field: str, value: float) -> None:
    with pytest.raises(ParamsError, match=f"'policy.{field}' must be"):
        PolicyParams.written({field: value})
