"""Every source, compared with a plain computation of its definition."""

import json
from pathlib import Path

import numpy as np
import pytest

from base.arrays import Float64s, Int32s
from features.schema import DAY, ITEM_FEATURES
from tests.training import market
from training.recommender import Recommender
from training.retrieve import unite
from training.sources.all import SOURCES
from training.sources.fitted import Sources
from training.sources.fresh import Fresh, fresh_scores
from training.sources.neighbours import PAIR_BYTES, NeighbourParams, Neighbours, build_neighbours
from training.sources.popularity import Popularity, popularity_scores
from training.sources.recent import recent_items
from training.sources.source import MEMORY, ReleaseError


def near(
    users: Int32s,
    items: Int32s,
    ages: Float64s,
    size: int,
    count: int,
    shrinkage: float = 1.0,
    memory: int = MEMORY,
) -> Neighbours:
    params = NeighbourParams(count, shrinkage, half_life_days=30.0)
    return Neighbours(*build_neighbours(users, items, ages, size, params, memory))


def test_neighbours_are_the_shrunk_cosines_of_a_plain_computation() -> None:
    users, items = market.events()
    ages = np.linspace(60.0, 0.0, len(users))
    found = near(users, items, ages, 50, count=50, shrinkage=1.5)
    matrix = np.zeros((40, 50))
    events_of = {user: int((users == user).sum()) for user in range(40)}
    for user, item, age in zip(users, items, ages, strict=True):
        matrix[user, item] += 0.5 ** (age / 30.0) / np.log2(2.0 + events_of[user])
    for item in range(50):
        for other in range(50):
            if item == other:
                continue
            a, b = matrix[:, item], matrix[:, other]
            expected = a @ b / (np.linalg.norm(a) * np.linalg.norm(b) + 1.5)
            place = np.flatnonzero(found.items[item] == other)
            actual = found.weights[item, place[0]] if len(place) else 0.0
            assert actual == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_only_the_strongest_neighbours_are_kept_strongest_first() -> None:
    users, items = market.events()
    every = near(users, items, np.zeros(600), 50, 49)
    few = near(users, items, np.zeros(600), 50, 5)
    np.testing.assert_array_equal(few.items, every.items[:, :5])
    assert (np.diff(few.weights, axis=1) <= 0).all()


def test_neighbours_of_a_few_items_at_a_time_are_those_of_all_at_once() -> None:
    users, items = market.events()
    ages = np.linspace(60.0, 0.0, len(users))
    whole = near(users, items, ages, 57, 5)
    for pairs in (1, 300, 2000):
        found = near(users, items, ages, 57, 5, memory=pairs * PAIR_BYTES)
        np.testing.assert_array_equal(found.items, whole.items)
        np.testing.assert_array_equal(found.weights, whole.weights)


def test_of_a_busy_account_only_the_newest_events_make_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its pairs would grow with the square of its events."""
    monkeypatch.setattr("training.sources.neighbours.NEWEST", 2)
    users = np.array([1, 0, 1, 1, 0, 2], dtype=np.int32)
    items = np.array([0, 3, 1, 2, 4, 0], dtype=np.int32)
    found = near(users, items, np.zeros(6), 5, 4)
    assert [sorted(row[row >= 0].tolist()) for row in found.items] == [[], [2], [1], [4], [3]]
    assert found.events.tolist() == [2, 1, 1, 1, 1]


def test_an_item_nobody_chose_is_new_and_so_is_one_appended_later() -> None:
    users, items = market.events()
    found = near(users, items, np.zeros(600), 50, 5)
    new = found.new_items(60)
    assert new[50:].all()
    np.testing.assert_array_equal(np.flatnonzero(~new), np.unique(items))


def test_a_log_without_events_has_no_neighbours() -> None:
    nothing = np.zeros(0, dtype=np.int32)
    found = near(nothing, nothing, np.zeros(0), 0, 5)
    assert found.matrix(7).nnz == 0


def test_the_newest_history_entry_weighs_most_and_weights_sum_to_one() -> None:
    rows = recent_items(market.histories([[1, 2, 3], [], [4]]), 2, 1.0, 10).toarray()
    np.testing.assert_allclose(rows[0, [1, 2, 3]], [0.0, 1 / 3, 2 / 3], rtol=1e-6)
    assert rows[1].sum() == 0.0
    assert rows[2, 4] == 1.0


def test_popularity_orders_by_the_window_and_breaks_ties_by_the_longest_one() -> None:
    requests = market.requests([[], []])
    days, longest = (ITEM_FEATURES.index(f"item_events_{d}d") for d in (3, 30))
    scores = popularity_scores(requests, 3)
    for row in range(2):
        table = requests.item_features[requests.snapshot[row]]
        expected = sorted(range(60), key=lambda i: (-table[i, days], -table[i, longest], i))
        np.testing.assert_array_equal(np.argsort(-scores[row], kind="stable"), expected)


def test_fresh_items_are_the_newest_and_unknown_ages_are_not_fresh() -> None:
    created = np.array([0, market.NOW - DAY, market.NOW - 3 * DAY, market.NOW - 9 * DAY])
    scores = fresh_scores(created, np.array([market.NOW]), days=6.0)
    np.testing.assert_allclose(scores[0], [0.0, 5 / 6, 0.5, 0.0], rtol=1e-6)


def test_content_prefers_the_topic_of_the_history(tmp_path: Path) -> None:
    catalogue = market.catalogue()
    release = Recommender.load(market.save_sources(tmp_path, catalogue), catalogue)
    requests = market.requests([[0, 4, 8]])
    scores = release.source_scores(release.asked(requests))["content"][0]
    profile = 0.0
    for place, item in enumerate([0, 4, 8]):
        profile = profile + 0.5 ** ((2 - place) / 5.0) * catalogue.text[item].astype(np.float64)
    weight = sum(0.5 ** (age / 5.0) for age in range(3))
    np.testing.assert_allclose(scores, catalogue.text @ profile / weight, rtol=1e-4, atol=1e-5)
    assert scores[np.arange(60) % 4 == 0].min() > scores[np.arange(60) % 4 != 0].max()


def test_the_union_holds_the_best_of_each_source_and_says_which() -> None:
    random = np.random.default_rng(5)
    scores = {source.name: random.random((3, 60), dtype=np.float32) + 0.1 for source in SOURCES}
    eligible = random.random((3, 60)) < 0.7
    found = unite(scores, eligible, per_source=6)
    for row in range(3):
        expected: dict[int, int] = {}
        for bit, dense in enumerate(scores.values()):
            order = sorted(np.flatnonzero(eligible[row]), key=lambda i: -dense[row, i])
            for item in order[:6]:
                expected[int(item)] = expected.get(int(item), 0) | 1 << bit
        present = found.items[row] >= 0
        pairs = zip(found.items[row][present], found.sources[row][present], strict=True)
        assert {int(i): int(s) for i, s in pairs} == expected


def test_items_that_come_later_displace_none_of_the_equals_that_were_there() -> None:
    """Otherwise the same request would have other candidates after the catalogue has grown."""
    random = np.random.default_rng(3)
    scores = random.integers(0, 3, (20, 300)).astype(np.float32)
    eligible = random.random((20, 300)) < 0.9
    found = unite({"popularity": scores}, eligible, 25)
    more = np.concatenate([scores, np.zeros((20, 70), dtype=np.float32)], axis=1)
    grown = unite({"popularity": more}, np.pad(eligible, ((0, 0), (0, 70)), constant_values=1), 25)
    np.testing.assert_array_equal(grown.items, found.items)
    assert (found.items >= 0).sum(axis=1).tolist() == [25] * 20


def test_a_source_that_says_nothing_about_an_item_does_not_retrieve_it() -> None:
    scores = {"neighbours": np.zeros((1, 9), dtype=np.float32)}
    scores["neighbours"][0, 4] = 0.1
    found = unite(scores, np.ones((1, 9), dtype=np.bool_), per_source=5)
    assert found.items.tolist() == [[4]]


def test_sources_survive_disk(tmp_path: Path) -> None:
    before = market.sources(market.catalogue())
    before.save(tmp_path)
    after = Sources.load(tmp_path)
    assert after.settings == before.settings
    assert [part.name for part in after.parts] == [part.name for part in before.parts]
    assert (after.get(Popularity), after.get(Fresh)) == (Popularity(7), Fresh(45.0))


def test_sources_of_the_first_releases_are_read(tmp_path: Path) -> None:
    """They kept all numbers in one file, and did not list their sources."""
    before = market.sources(market.catalogue())
    before.save(tmp_path)
    first = json.loads((tmp_path / "sources.json").read_text())
    assert first.pop("sources") == ["neighbours", "content", "popularity", "fresh"]
    for name in ("popularity", "fresh"):
        (days,) = json.loads((tmp_path / f"{name}.json").read_text()).values()
        first[f"{name}_days"] = days
        (tmp_path / f"{name}.json").unlink()
    (tmp_path / "sources.json").write_text(json.dumps(first))
    assert {path.name for path in tmp_path.iterdir()} == {"sources.json", "neighbours.safetensors"}
    after = Sources.load(tmp_path)
    assert after.settings == before.settings
    assert [type(part) for part in after.parts] == [type(part) for part in before.parts]
    assert (after.get(Popularity), after.get(Fresh)) == (Popularity(7), Fresh(45.0))


def test_a_source_that_a_release_does_not_name_is_left_out(tmp_path: Path) -> None:
    """So that a release serves what it was judged with, whatever sources were added since."""
    market.sources(market.catalogue()).save(tmp_path)
    content = json.loads((tmp_path / "sources.json").read_text())
    content["sources"].remove("content")
    (tmp_path / "sources.json").write_text(json.dumps(content))
    names = [part.name for part in Sources.load(tmp_path).parts]
    assert names == ["neighbours", "popularity", "fresh"]


def test_a_source_of_a_later_version_is_refused_by_name(tmp_path: Path) -> None:
    market.sources(market.catalogue()).save(tmp_path)
    text = (tmp_path / "sources.json").read_text()
    (tmp_path / "sources.json").write_text(text.replace('"content"', '"graph"'))
    with pytest.raises(ReleaseError, match="unknown sources graph"):
        Sources.load(tmp_path)


def test_settings_of_another_version_are_refused_by_name(tmp_path: Path) -> None:
    market.sources(market.catalogue()).save(tmp_path)
    text = (tmp_path / "sources.json").read_text()
    (tmp_path / "sources.json").write_text(text.replace("half_life", "halving"))
    with pytest.raises(ReleaseError, match="halving"):
        Sources.load(tmp_path)


def test_neighbours_have_the_same_matrix_after_the_catalogue_grew() -> None:
    neighbours = market.neighbours()
    np.testing.assert_array_equal(
        neighbours.matrix(50).toarray(), neighbours.matrix(70).toarray()[:50, :50]
    )
