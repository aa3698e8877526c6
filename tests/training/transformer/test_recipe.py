"""The values derived from the data where section `fit` has null."""

from typing import Any

import numpy as np
import pytest

from training.transformer.config import SHAPES, TransformerParams
from training.transformer.recipe import DRAWS, EXACT_UP_TO, POINTWISE_DRAWS, Recipe

OPEN = TransformerParams()


@pytest.mark.parametrize(
    ("events", "tokens"), [(1, 512), (225_000, 2048), (987_000, 8192), (10**9, 8192)]
)
def test_a_step_s_length_follows_from_the_log_s(events: int, tokens: int) -> None:
    assert Recipe.of(OPEN, events, 1).batch_tokens == tokens


def test_the_fewer_events_an_item_has_the_more_is_dropped() -> None:
    dropout = [Recipe.of(OPEN, events, 100).dropout for events in (100, 1200, 6000, 30_000, 10**9)]
    assert dropout[:2] == [0.5, 0.5]
    assert dropout[-2:] == [0.3, 0.3]
    assert 0.3 < dropout[2] < 0.5
    assert (np.diff(dropout) <= 0).all()


def test_the_fewer_events_an_item_has_the_more_decays() -> None:
    small = TransformerParams(size="small")
    decay = [
        Recipe.of(small, events, 100).weight_decay for events in (100, 1200, 6000, 30_000, 10**9)
    ]
    np.testing.assert_allclose(decay, [2.0, 2.0, 0.6**0.5, 0.3, 0.3])


@pytest.mark.parametrize(
    "params",
    [
        TransformerParams(size="small", learning_rate=0.5),
        *(TransformerParams(size=size) for size in SHAPES),
    ],
)
def test_a_step_takes_the_same_share_off_the_weights_at_any_rate(params: TransformerParams) -> None:
    recipe = Recipe.of(params, 1200, 100)
    np.testing.assert_allclose(recipe.learning_rate * recipe.weight_decay, 2.0 * 3e-3)


def test_by_default_small_catalogues_are_exact_and_large_ones_sampled() -> None:
    def draws(items: int, **values: Any) -> int:
        return Recipe.of(TransformerParams(**values), 10**6, items).negatives

    assert draws(EXACT_UP_TO) == 0
    assert draws(EXACT_UP_TO + 1) == DRAWS
    assert draws(10**6, negatives=0) == 0
    assert draws(101, negatives=100) == 100
    assert draws(100, negatives=100) == 0
    assert draws(100, loss="gbce") == POINTWISE_DRAWS
    assert draws(100, loss="gbce", negatives=7) == 7
    assert draws(10**6, loss="contrastive") == 0


def test_what_is_set_stays() -> None:
    chosen = TransformerParams(
        batch_tokens=1000, dropout=0.0, learning_rate=0.5, weight_decay=0.0, negatives=5
    )
    recipe = Recipe.of(chosen, 10**6, 10)
    assert {name: vars(recipe)[name] for name in vars(chosen)} == vars(chosen)


def test_the_rate_follows_from_the_size() -> None:
    tiny, large = (Recipe.of(TransformerParams(size=s), 9, 9) for s in ("tiny", "large"))
    assert tiny.learning_rate > large.learning_rate
