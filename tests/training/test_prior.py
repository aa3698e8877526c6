"""The linear prior recovers the weights of drawn choices, and stays near its start if there is
little data."""

from pathlib import Path

import numpy as np
import pytest

from base.arrays import Float32s, Int8s, Int64s
from training.prior import INPUTS, Prior
from training.prior_fit import fit_prior
from training.rank_features import FEATURES

SIZE = 20


def choices(groups: int, weights: dict[str, float], seed: int) -> tuple[Float32s, Int8s, Int64s]:
    """One choice a group, drawn with P ∝ exp(weights · x) of standard normal features."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(groups, SIZE, len(FEATURES))).astype(np.float32)
    score = sum(weight * features[:, :, FEATURES.index(name)] for name, weight in weights.items())
    # The largest of score + Gumbel noise is a draw from the softmax.
    chosen = np.argmax(score + random.gumbel(size=(groups, SIZE)), axis=1)
    label = np.zeros((groups, SIZE), dtype=np.int8)
    label[np.arange(groups), chosen] = 1
    return features.reshape(-1, len(FEATURES)), label.ravel(), np.full(groups, SIZE)


def test_weights_that_choices_were_drawn_from_are_recovered() -> None:
    true = {"transformer_log_probability": 0.5, "neighbours_z": 0.8, "item_trend": -0.6}
    prior = fit_prior(*choices(8000, true, seed=1), reg=0.01)
    found = np.array(prior.weight) / np.array(prior.scale)
    expected = [true.get(name, 0.0) for name in INPUTS]
    np.testing.assert_allclose(found, expected, atol=0.06)


def test_few_choices_leave_the_transformers_order() -> None:
    prior = fit_prior(*choices(3, {"neighbours_z": 2.0}, seed=2), reg=100.0)
    np.testing.assert_allclose(prior.weight, [1.0] + [0.0] * (len(INPUTS) - 1), atol=0.05)


def test_a_missing_input_counts_as_average_and_extremes_are_bounded() -> None:
    prior = Prior(("neighbours_z", "content_z"), (1.0, 2.0), (2.0, 2.0), (1.0, 3.0))
    rows = np.zeros((3, len(FEATURES)), dtype=np.float32)
    rows[:, FEATURES.index("neighbours_z")] = 1.0
    rows[:, FEATURES.index("content_z")] = [np.nan, 4.0, 1e6]
    np.testing.assert_allclose(prior.scores(rows), [0.0, 3.0, 15.0])


def test_a_prior_survives_disk(tmp_path: Path) -> None:
    prior = fit_prior(*choices(50, {"content_z": 1.0}, seed=3), reg=1.0)
    prior.save(tmp_path)
    assert Prior.load(tmp_path) == prior


@pytest.mark.parametrize("missing", ["transformer_log_probability", "neighbours_z"])
def test_a_source_that_is_absent_altogether_does_not_break_the_fit(missing: str) -> None:
    features, label, sizes = choices(200, {"content_z": 1.0}, seed=4)
    features[:, FEATURES.index(missing)] = np.nan
    prior = fit_prior(features, label, sizes, reg=1.0)
    assert np.isfinite(prior.weight).all()
    assert np.isfinite(prior.scores(features)).all()
