"""Trees: same data, same file; they learn what the prior cannot; positions in slates do not
count."""

from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow as pa
import pytest

from base.arrays import Float32s
from training.candidates import _rows_schema
from training.rank_features import FEATURES
from training.trees import TreeParams, fit

PARAMS = TreeParams(max_trees=60, min_data_in_leaf=20, num_leaves=7)
SIZE = 12


def table(groups: int, seed: int, kind: str = "organic", position_bias: float = 0.0) -> pa.Table:
    """Groups whose chosen item has |price_to_recent| near 0: a bump no linear model can follow.

    With `position_bias`, the chosen one is rather the first shown, whatever it is.
    """
    random = np.random.default_rng(seed)
    features = random.normal(size=(groups, SIZE, len(FEATURES))).astype(np.float32)
    appeal = -3.0 * np.abs(features[:, :, FEATURES.index("price_to_recent")])
    appeal = appeal - position_bias * np.arange(SIZE) + random.gumbel(size=(groups, SIZE))
    label = (appeal == appeal.max(axis=1, keepdims=True)).astype(np.int8)
    query = np.repeat(np.arange(groups, dtype=np.int32), SIZE)
    place = np.tile(np.arange(1, SIZE + 1, dtype=np.int32), groups)
    columns = [
        query,
        pa.array([kind] * len(query)),
        np.zeros(len(query), dtype=np.int32),
        label.ravel(),
        place if kind == "slate" else np.zeros_like(place),
        query.astype(np.int64) * 1000,
        *features.reshape(-1, len(FEATURES)).T,
    ]
    return pa.table(columns, schema=_rows_schema())


def first_choice_rate(scores: Float32s, of: pa.Table) -> float:
    label = of["label"].to_numpy().reshape(-1, SIZE)
    best = scores.reshape(-1, SIZE).argmax(axis=1)
    return float(label[np.arange(len(label)), best].mean())


def features_of(of: pa.Table) -> Float32s:
    return np.stack([of[name].to_numpy() for name in FEATURES], axis=1)


def test_the_same_candidates_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        fit(table(150, seed=1), PARAMS)[0].save(tmp_path / name)
    for file in ("model.txt", "features.json", "prior.json"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_trees_add_what_the_linear_prior_cannot_express() -> None:
    params = replace(PARAMS, max_trees=200, patience=50, prior_reg=1.0)
    ranker, metrics = fit(table(800, seed=1), params)
    unseen = table(300, seed=2)
    alone = ranker.prior.scores(features_of(unseen)).astype(np.float32)
    both = ranker.scores(features_of(unseen))
    assert metrics["trees"] > 5
    assert first_choice_rate(both, unseen) > first_choice_rate(alone, unseen) + 0.1


def test_what_was_clicked_for_its_place_is_not_taken_for_attractive() -> None:
    """Slates list items by falling click rate, and users click the first.

    If the place is known, the click rate explains fewer of the clicks.
    """
    organic = table(200, seed=3)
    time = organic.schema.get_field_index("timestamp")
    # All of one moment: without a tail, the number of trees is given and no matter of chance.
    moment = pa.array(np.zeros(organic.num_rows), pa.int64())
    organic = organic.set_column(time, organic.schema.field(time), moment)
    slates = table(400, seed=4, kind="slate", position_bias=5.0)
    rate = slates.schema.get_field_index("item_ctr_7d")
    falling = -slates["position"].to_numpy() + np.random.default_rng(5).normal(size=400 * SIZE)
    slates = slates.set_column(rate, slates.schema.field(rate), pa.array(falling, pa.float32()))
    place = slates.schema.get_field_index("position")
    forgotten = slates.set_column(
        place, slates.schema.field(place), pa.array(np.zeros(400 * SIZE), pa.int32())
    )
    rows = features_of(slates)

    def effect(of: pa.Table) -> float:
        params = replace(PARAMS, slate_weight=1.0, max_trees=300)
        booster = fit(pa.concat_tables([organic, of]), params)[0].booster
        high, low = rows.copy(), rows.copy()
        high[:, FEATURES.index("item_ctr_7d")] = -1.0
        low[:, FEATURES.index("item_ctr_7d")] = -float(SIZE)
        return float((np.asarray(booster.predict(high)) - np.asarray(booster.predict(low))).mean())

    assert effect(slates) < 0.9 * effect(forgotten)


def test_slates_of_weight_zero_are_left_out() -> None:
    organic, slates = table(100, seed=6), table(100, seed=7, kind="slate")
    params = replace(PARAMS, slate_weight=0.0)
    both, _ = fit(pa.concat_tables([organic, slates]), params)
    alone, _ = fit(organic, params)
    assert both.booster.model_to_string() == alone.booster.model_to_string()


def test_a_few_groups_are_enough_to_have_a_ranker() -> None:
    ranker, metrics = fit(table(2, seed=8), PARAMS)
    assert metrics["organic_groups"] == 2
    assert np.isfinite(ranker.scores(features_of(table(2, seed=9)))).all()


def test_no_retrieved_target_is_an_error_that_says_so() -> None:
    with pytest.raises(ValueError, match="no organic query"):
        fit(table(0, seed=1), PARAMS)
    with pytest.raises(ValueError, match="no organic query"):
        fit(table(5, seed=1, kind="slate"), PARAMS)


def test_a_model_read_back_scores_as_the_one_saved(tmp_path: Path) -> None:
    ranker, _ = fit(table(100, seed=1), PARAMS)
    ranker.save(tmp_path)
    again = lightgbm.Booster(model_file=str(tmp_path / "model.txt"))
    rows = features_of(table(10, seed=2))
    expected = np.asarray(ranker.booster.predict(rows))
    np.testing.assert_allclose(np.asarray(again.predict(rows)), expected, rtol=1e-12)
