"""The queries of a wave and their results, on hand-made tables."""

import numpy as np
import pyarrow as pa
import pytest

from base.settings import Settings
from features.items.catalogue import Catalogue
from features.online import OnlineStore
from features.requests.requests import Queries
from features.schema import SECOND, TIMESTAMP
from flows.loop.wave_judging import (
    QUERIES_PER_USER,
    SYSTEMS,
    History,
    WaveJudged,
    judge_wave,
    pooled,
    wave_queries,
)
from serving.release import Release
from tests.serving import small
from training.judging import Judged

CATALOGUE = Catalogue.from_table(small.items())
FIRST = small.NOW // SECOND
MIN_RATING = 2.0  # every rating here has one star


def events(*rows: tuple[str, str, str, int]) -> pa.Table:
    """(user, item, type, seconds after the first moment)."""
    users, items, kinds, seconds = (list(column) for column in zip(*rows, strict=True))
    moments = [(FIRST + second) * SECOND for second in seconds]
    return pa.table(
        {
            "user_id": users,
            "item_id": items,
            "event_type": kinds,
            "value": pa.array([1.0 if kind == "rating" else None for kind in kinds], pa.float64()),
            "timestamp": pa.array(moments).cast(TIMESTAMP),
        }
    )


@pytest.fixture(scope="module")
def online(tmp_path_factory: pytest.TempPathFactory) -> OnlineStore:
    """An online store that knows no user."""
    return OnlineStore(Settings(home=tmp_path_factory.mktemp("online")))


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("releases") / "one"
    small.make_release(folder)
    return Release.open(folder)


def asked(past: pa.Table, wave: pa.Table, online: OnlineStore, length: int = 200) -> Queries:
    return wave_queries(History.of(past, MIN_RATING), wave, CATALOGUE, online, length)


def told(queries: Queries) -> list[tuple[str, int, list[str], list[str]]]:
    """(user, second, history, targets) of each query."""
    ids, requests = CATALOGUE.item_ids, queries.requests
    histories = requests.histories
    return [
        (
            str(requests.user_ids[row]),
            int(requests.timestamps[row]) // SECOND - FIRST,
            [ids[i] for i in histories.select(np.array([row])).items],
            [ids[i] for i in queries.targets[row]],
        )
        for row in range(len(queries))
    ]


def test_a_query_sees_strictly_earlier_events_and_one_second_is_one_set_of_targets(
    online: OnlineStore,
) -> None:
    past = events(("ann", "i1", "view", 0), ("bob", "i9", "view", 0), ("ann", "i2", "click", 1))
    wave = events(
        ("ann", "i4", "view", 10),
        ("ann", "i5", "purchase", 10),
        ("ann", "i5", "view", 10),
        ("ann", "i6", "view", 11),
        ("bob", "i7", "view", 10),
    )
    assert told(asked(past, wave, online)) == [
        ("ann", 10, ["i1", "i2"], ["i4", "i5"]),
        ("ann", 11, ["i1", "i2", "i4", "i5", "i5"], ["i6"]),
        ("bob", 10, ["i9"], ["i7"]),
    ]


def test_a_low_rating_is_neither_history_nor_target(online: OnlineStore) -> None:
    past = events(("ann", "i1", "view", 0), ("ann", "i2", "rating", 1))
    wave = events(("ann", "i3", "rating", 10), ("ann", "i4", "view", 11))
    assert told(asked(past, wave, online)) == [("ann", 11, ["i1"], ["i4"])]


def test_what_is_known_already_or_not_in_the_catalogue_or_not_wanted_is_no_target(
    online: OnlineStore,
) -> None:
    past = events(("ann", "i1", "view", 0))
    wave = events(
        ("ann", "i1", "view", 10),
        ("ann", "nowhere", "view", 11),
        ("ann", "i2", "dislike", 12),
        ("ann", "i3", "view", 13),
    )
    assert told(asked(past, wave, online)) == [("ann", 13, ["i1", "i1"], ["i3"])]


def test_a_history_is_cut_to_its_newest_events(online: OnlineStore) -> None:
    past = events(*(("ann", f"i{n}", "view", n) for n in range(9)))
    wave = events(("ann", "i20", "view", 30))
    assert told(asked(past, wave, online, length=2)) == [("ann", 30, ["i7", "i8"], ["i20"])]


def test_a_busy_user_has_evenly_spaced_queries(online: OnlineStore) -> None:
    wave = events(*(("ann", f"i{n}", "view", 10 + n) for n in range(21)))
    queries = asked(events(("bob", "i1", "view", 0)), wave, online)
    assert [second for _, second, _, _ in told(queries)] == [10, 15, 19, 23, 27]
    assert len(queries) == QUERIES_PER_USER


def test_an_item_of_long_ago_is_no_new_choice_even_if_the_history_is_cut_before_it(
    online: OnlineStore,
) -> None:
    past = events(*(("ann", f"i{n}", "view", n) for n in range(5)))
    wave = events(("ann", "i0", "view", 10), ("ann", "i9", "view", 11))
    assert told(asked(past, wave, online, length=2)) == [("ann", 11, ["i4", "i0"], ["i9"])]


def judged(values: list[float]) -> Judged:
    empty = np.zeros((len(values), 10), dtype=np.int32)
    return Judged(np.zeros(len(values), dtype=np.int64), empty, {"ndcg@10": np.array(values)})


def test_users_count_once_a_wave_and_are_paired() -> None:
    users = np.array(["a", "a", "b"], dtype=object)
    wave = WaveJudged(
        users,
        {
            "served": judged([1.0, 0.0, 0.2]),
            "transformer": judged([0.0, 0.0, 0.2]),
            "frozen": judged([1.0, 0.0, 0.2]),
            "popularity": judged([0.0, 0.0, 0.0]),
        },
    )
    result = pooled([wave, wave], "ndcg@10", seed=1, confidence=0.9)
    assert result["served"] == pytest.approx(0.35)
    assert result["served_minus_transformer"]["mean"] == pytest.approx(0.25)
    assert result["served_minus_frozen"] == {"mean": 0.0, "low": 0.0, "high": 0.0}


def test_a_higher_level_has_wider_intervals() -> None:
    users = np.array([f"u{n}" for n in range(50)], dtype=object)
    values = np.random.default_rng(1).random(50).tolist()
    wave = WaveJudged(
        users, dict.fromkeys(SYSTEMS, judged([0.0] * 50)) | {"served": judged(values)}
    )
    at = {c: pooled([wave], "ndcg@10", 1, c)["served_minus_frozen"] for c in (0.9, 0.95)}
    assert at[0.95]["low"] < at[0.9]["low"] < at[0.9]["high"] < at[0.95]["high"]


def test_the_same_release_served_and_frozen_differs_by_exactly_nothing(
    online: OnlineStore, release: Release
) -> None:
    past = events(*((f"u{n}", f"i{n}", "view", 0) for n in range(30)))
    wave = events(*((f"u{n}", f"i{n + m}", "view", 10) for n in range(30) for m in range(1, 15)))
    queries = asked(past, wave, online)
    recommender = release.load(CATALOGUE)
    found = pooled([judge_wave(queries, recommender, recommender)], "ndcg@10", 1, 0.9)
    assert found["served"] == found["frozen"] > 0
    assert found["served_minus_frozen"] == {"mean": 0.0, "low": 0.0, "high": 0.0}
    before = pooled([judge_wave(queries, None, recommender)], "ndcg@10", 1, 0.9)
    assert before["served"] == before["popularity"] != before["transformer"]


def test_a_wave_that_asks_nothing_is_unknown_and_not_an_error(
    online: OnlineStore, release: Release
) -> None:
    wave = events(("ann", "nowhere", "view", 10))
    queries = asked(events(("ann", "i1", "view", 0)), wave, online)
    recommender = release.load(CATALOGUE)
    found = pooled([judge_wave(queries, recommender, recommender)], "recall@10", 1, 0.9)
    assert {found[system] for system in SYSTEMS} == {None}
    assert found["served_minus_popularity"] == {"mean": None, "low": None, "high": None}
