"""The recommender: what it may show, that a batch equals its single requests, and that its
catalogue can grow."""

from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import pytest

from features.items.past import Past, State
from features.requests.requests import Requests
from features.schema import DAY
from tests.training import market
from training.metrics.ndcg import ndcg
from training.prior import Prior
from training.rank_features import FEATURES
from training.ranker import Ranker
from training.recommender import Recommender, ReleaseError
from training.sources.all import SOURCES
from training.sources.fresh import Fresh

LISTS = market.random_lists(40)
HIDDEN = [[(7 * row) % 60, 11] for row in range(40)]


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sources, and trees trained to prefer high values of two features."""
    folder = market.save_sources(tmp_path_factory.mktemp("release"), market.catalogue())
    random = np.random.default_rng(1)
    rows = random.normal(size=(400, len(FEATURES))).astype(np.float32)
    wanted = rows[:, FEATURES.index("content_z")] + rows[:, FEATURES.index("popularity_z")]
    best = (wanted.reshape(40, 10) == wanted.reshape(40, 10).max(axis=1, keepdims=True)).ravel()
    data = lightgbm.Dataset(rows, best.astype(int), group=[10] * 40, feature_name=list(FEATURES))
    settings = {"objective": "lambdarank", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5}
    prior = Prior(("content_z",), (0.0,), (1.0,), (0.5,))
    Ranker(lightgbm.train(settings, data, 20), prior, FEATURES).save(folder / "trees")
    return folder


@pytest.fixture(scope="module")
def recommender(release: Path) -> Recommender:
    return Recommender.load(release, market.catalogue())


@pytest.fixture(scope="module")
def requests() -> Requests:
    return market.requests(LISTS, hidden=HIDDEN)


def test_nothing_seen_hidden_unavailable_or_not_yet_created_is_ever_returned(
    recommender: Recommender, requests: Requests
) -> None:
    early = replace(requests, timestamps=requests.timestamps - 960 * 3_600_000_000)
    for asked in (requests, early):
        ranked = recommender.rank(asked)
        created = market.catalogue().created_at
        for row, candidates in enumerate(ranked.candidates):
            shown = set(candidates[candidates >= 0].tolist())
            assert shown
            assert not shown & set(LISTS[row])
            assert not shown & set(HIDDEN[row])
            assert 3 not in shown
            assert all(created[item] <= asked.timestamps[row] for item in shown)


def test_a_request_of_the_past_sees_items_as_they_were_known_then(
    recommender: Recommender, requests: Requests
) -> None:
    then = recommender.catalogue
    changed = np.array([3, 7, 30, 59])
    past = Past(
        changed,
        since=np.full(4, np.iinfo(np.int64).min),
        until=np.full(4, market.NOW + 1),
        state=State(then.available[changed], then.price[changed], then.created_at[changed]),
    )
    now = replace(
        then,
        available=then.available ^ np.isin(np.arange(market.ITEMS), [3, 7]),
        price=then.price * np.where(np.isin(np.arange(market.ITEMS), changed), 3, 1),
        created_at=then.created_at + np.isin(np.arange(market.ITEMS), [30]) * 90 * DAY,
        past=past,
    )
    grown = recommender.with_catalogue(now)
    expected, found = recommender.rank(requests), grown.rank(requests)
    np.testing.assert_array_equal(found.candidates, expected.candidates)
    np.testing.assert_allclose(found.features, expected.features, rtol=1e-4, atol=1e-6)
    later = replace(requests, timestamps=requests.timestamps + 1)
    eligible = grown.eligible(later)
    assert eligible[:, 3].any()
    assert not eligible[:, [7, 30]].any()
    shown = np.tile(np.array([59], dtype=np.int32), (len(requests), 1))
    prices = [grown.describe(r, shown)[..., FEATURES.index("price")] for r in (requests, later)]
    np.testing.assert_allclose(prices[1], 3 * prices[0])


def test_a_placement_with_repeats_may_show_what_was_seen(
    recommender: Recommender, requests: Requests
) -> None:
    eligible = recommender.eligible(requests, repeats=True)
    rows = requests.histories.rows
    seen = eligible[rows, requests.histories.items]
    assert seen.any()
    assert not recommender.eligible(requests)[rows, requests.histories.items].any()


def test_a_request_alone_is_ranked_as_in_a_batch(
    recommender: Recommender, requests: Requests
) -> None:
    batch = recommender.rank(requests)
    for row in range(len(requests)):
        alone = recommender.rank(requests.select(np.array([row])))
        present = batch.candidates[row] >= 0
        np.testing.assert_array_equal(alone.candidates[0], batch.candidates[row][present])
        np.testing.assert_allclose(
            alone.features[0], batch.features[row][present], rtol=1e-4, atol=1e-4
        )
        np.testing.assert_array_equal(alone.top(10)[0], batch.top(10)[row])


def test_chunks_do_not_change_the_result(
    recommender: Recommender, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = recommender.rank(requests)
    monkeypatch.setattr("training.recommender._CHUNK_CELLS", 7 * market.ITEMS)
    pieces = recommender.rank(requests)
    np.testing.assert_array_equal(whole.candidates, pieces.candidates)
    np.testing.assert_allclose(whole.scores, pieces.scores, rtol=1e-5)


def test_no_request_gives_no_answer(recommender: Recommender, requests: Requests) -> None:
    ranked = recommender.rank(requests.select(np.zeros(0, dtype=np.int64)))
    assert ranked.top(5).shape == (0, 5)


def test_the_lists_are_the_candidates_by_falling_score(
    recommender: Recommender, requests: Requests
) -> None:
    ranked = recommender.rank(requests)
    for row, top in enumerate(ranked.top(5)):
        score = dict(zip(ranked.candidates[row].tolist(), ranked.scores[row].tolist(), strict=True))
        values = [score[item] for item in top.tolist()]
        assert values == sorted(values, reverse=True)
        assert values[0] == max(score.values())


def test_items_added_after_training_can_be_recommended(recommender: Recommender) -> None:
    grown = recommender.with_catalogue(market.catalogue(80))
    ranked = grown.rank(market.requests(LISTS, items=80))
    late = ranked.candidates >= market.ITEMS
    assert late.any(axis=1).all()
    assert (ranked.sources[late] & (1 << SOURCES.index(Fresh))).any()


def test_a_catalogue_that_does_not_extend_the_present_one_is_refused(
    recommender: Recommender,
) -> None:
    with pytest.raises(ReleaseError, match="must begin with"):
        recommender.with_catalogue(market.catalogue(59))
    other = market.catalogue(80)
    other.item_ids[5] = "another"
    with pytest.raises(ReleaseError, match="must begin with"):
        recommender.with_catalogue(other)


def test_a_release_of_another_catalogue_is_refused(release: Path) -> None:
    other = market.catalogue()
    other.item_ids[5] = "another"
    with pytest.raises(ReleaseError, match="does not begin with the 50 items"):
        Recommender.load(release, other)


def test_trees_that_want_an_unknown_feature_are_refused(release: Path, tmp_path: Path) -> None:
    Ranker.load(release / "trees").save(tmp_path)
    names = (tmp_path / "features.json").read_text()
    (tmp_path / "features.json").write_text(names.replace("item_unseen", "is_blue"))
    with pytest.raises(ReleaseError, match="is_blue"):
        Ranker.load(tmp_path)


def test_without_trees_and_transformer_the_order_is_recency_popularity(
    release: Path, requests: Requests
) -> None:
    parts = Recommender.assemble(market.catalogue(), release / "sources", None, None)
    assert parts.order == "popularity"
    dense = parts.scores_of("popularity", requests)
    np.testing.assert_array_equal(parts.rank(requests).top(1)[:, 0], dense.argmax(axis=1))
    with pytest.raises(ReleaseError, match="no transformer"):
        parts.scores_of("transformer", requests)


def test_with_trees_alone_the_other_sources_still_answer(
    recommender: Recommender, requests: Requests
) -> None:
    assert recommender.order == "trees"
    lists = recommender.rank(requests).top(10)
    assert (lists >= 0).all()
    assert (
        ndcg(lists, market.queries(LISTS, [[row[0]] for row in lists.tolist()]).targets).min() > 0
    )


def test_given_candidates_are_described_as_retrieved_ones_are(
    recommender: Recommender, requests: Requests
) -> None:
    ranked = recommender.rank(requests)
    again = recommender.describe(requests, ranked.candidates)
    present = ranked.candidates >= 0
    np.testing.assert_allclose(again[present], ranked.features[present], rtol=1e-5)
