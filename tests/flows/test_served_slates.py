"""What was served is read back from the log: requests, scores, propensities, outcomes by slot."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from prometheus_client import CollectorRegistry

from base.arrays import Float32s
from base.settings import Settings
from features.batch.aggregate import aggregate
from features.ingest import store_events, store_requests
from features.online import OnlineStore
from features.requests.slates import Slates, load_slates
from features.requests.training_set import load_catalogue, load_queries
from features.schema import HOUR, MINUTE
from features.splits.split import split
from features.splits.windowing import SplitParams
from features.splits.windows import Windows
from serving import live_history
from serving.database import connect
from serving.engine import Engine
from serving.feedback_log import FeedbackLog
from serving.live import empty, with_features, with_release
from serving.metrics import Metrics
from serving.models import RecommendInput
from serving.policy import PolicyParams, propensity
from serving.release import Release
from serving.served import served
from serving.signing import Signer
from serving.writer import Writer
from tests.features.logs import at, event
from tests.flows.rivals import (
    TODAY,
    USERS,
    YESTERDAY,
    Rivals,
    make_rivals,
    market_events,
)
from training.as_served import shown_features
from training.rank_features import FEATURES, LOGGED

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
#: The slates of one morning, and those of the last minutes of the log.
MORNING, LATE = at(YESTERDAY, 12), at(TODAY) - 20 * MINUTE
PARAMS = SplitParams(min_targets=40)


@dataclass(frozen=True)
class Day:
    """A log with served requests, split again at its end."""

    data: Path
    release: Release
    slates: Slates


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Rivals:
    return make_rivals(tmp_path_factory.mktemp("rivals"), checkout)


@pytest.fixture(scope="module")
def day(rivals: Rivals, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """Yesterday's champion serves; everybody takes the second item that he is shown."""
    root = tmp_path_factory.mktemp("served")
    release = Release.open(rivals.champion.root / "data" / "release")
    store = OnlineStore(Settings(home=root))
    store.materialise(rivals.champion.root / "data" / "features", at(YESTERDAY))
    database = connect(f"sqlite:///{root / 'rondo.db'}")
    log, metrics = FeedbackLog(database), Metrics(CollectorRegistry())
    log.append(events=[e for e in market_events(TODAY) if e["timestamp"] < MORNING])
    last = log.last_offset()
    live_history.push(log, store, [f"u{n}" for n in range(USERS)], 200, 0.0, MORNING)
    live = with_features(with_release(empty(), release, None), store)
    writer = Writer(log, lambda _: None, metrics)
    engine = Engine(lambda: live, store, log, writer, Signer(b"k"), str, metrics)

    def ask(user: str, name: str, now: int, k: int, placement: str) -> None:
        asked = RecommendInput(user_id=user, request_id=name, k=k, placement=placement)
        made = engine.decide(live, asked, name, now).slate
        second = made.slots[1]
        shown_by = second["origin"] or name
        log.append([made], [outcome(second["item_id"], shown_by, "click", now + MINUTE)])

    def outcome(item_id: str, name: str, kind: str, when: int) -> dict[str, object]:
        user = f"u{name[1:].split('-')[0]}"
        return event(f"{name}-{kind}-{when}", user, item_id, when, event_type=kind, request_id=name)

    for number in range(40):
        placement = "cart" if number % 4 == 0 else "home"
        when = (MORNING if number < 30 else LATE) + number
        ask(f"u{number}", f"r{number}", when, 5, placement)
    ask("u1", "r1-on", MORNING + 5 * MINUTE, 8, "home")  # the slate goes on
    _, slots = log.request("r2") or ({}, [])
    log.append(
        events=[
            outcome(slots[0]["item_id"], "r2", "purchase", MORNING + HOUR // 2),
            outcome(slots[2]["item_id"], "r2", "click", MORNING + 2 * HOUR),  # too late
        ]
    )
    writer.close()
    folder = shutil.copytree(rivals.equal.root / "data" / "log", root / "log")
    outbox = log.read(last, 100_000)
    first = 1_000_000
    store_events(outbox.drop_columns("offset"), folder, first, at(TODAY + 1))
    store_requests(served(database, outbox), folder, first, outbox.num_rows)
    data = make(root / "data", folder)
    yield Day(data, release, load_slates(data / "split", data / "features", "judge"))
    database.dispose()


def make(data: Path, log: Path) -> Path:
    """Split and features of a log."""
    for name in ("split", "features"):
        (data / name).mkdir(parents=True)
    split(log, data / "split", PARAMS, False)
    aggregate(data / "split", data / "features")
    return data


def row(day: Day, request_id: str) -> int:
    return int(np.flatnonzero(day.slates.request_ids == request_id)[0])


def test_every_served_request_of_the_window_is_read(day: Day) -> None:
    slates = day.slates
    assert sorted(slates.request_ids) == sorted(["r1-on", *(f"r{number}" for number in range(40))])
    assert (np.diff(slates.requests.timestamps) >= 0).all()
    assert set(slates.releases) == {day.release.id}
    assert set(slates.sources) == {"trees"}
    assert slates.items.shape == (41, 8)
    cart = slates.placements == "cart"
    assert cart.sum() == 10
    assert (slates.repeats == cart).all()
    assert len(load_slates(day.data / "split", day.data / "features", "rank")) == 0


def test_logged_propensities_are_those_of_the_logged_scores_bit_for_bit(day: Day) -> None:
    slates = day.slates
    again = propensity(
        slates.scores,
        slates.candidates,
        slates.eligible_count,
        slates.items,
        PolicyParams.written(slates.policies[0]),
        load_catalogue(day.data / "split").categories,
    )
    assert (again == slates.propensities).all()
    assert ((slates.propensities > 0) == slates.present).all()


def test_the_release_that_served_ranks_the_logged_requests_as_it_did(day: Day) -> None:
    slates = day.slates
    recommender = day.release.load(load_catalogue(day.data / "split"))
    for repeats in (True, False):
        rows = np.flatnonzero(slates.repeats == repeats)
        chosen = slates.select(rows)
        ranked = recommender.rank(chosen.requests, repeats)
        eligible = recommender.eligible(chosen.requests, repeats).sum(axis=1)
        assert (eligible == chosen.eligible_count).all()
        for n in range(len(rows)):
            kept = ranked.candidates[n] >= 0
            known = chosen.candidates[n] >= 0
            assert ranked.candidates[n, kept].tolist() == chosen.candidates[n, known].tolist()
            assert np.allclose(ranked.scores[n, kept], chosen.scores[n, known], atol=1e-6)


def test_outcomes_are_those_of_the_slot_within_the_attribution_window(day: Day) -> None:
    slates = day.slates
    assert slates.clicks[row(day, "r5")].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    bought = row(day, "r2")
    assert slates.clicks[bought].tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    assert slates.purchases[bought].tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert slates.purchases.sum() == 1
    assert slates.carts.sum() == 0
    assert (slates.rewards == slates.clicks).all()


def test_a_slate_that_goes_on_counts_each_slot_once(day: Day) -> None:
    first, longer = row(day, "r1"), row(day, "r1-on")
    slates = day.slates
    assert slates.given[[first, longer]].tolist() == [0, 5]
    assert slates.given.sum() == 5
    assert slates.items[longer, :5].tolist() == slates.items[first, :5].tolist()
    assert slates.clicks[first].sum() == 1
    assert slates.clicks[longer].sum() == 0


def test_slates_whose_attribution_window_is_open_are_marked(day: Day) -> None:
    end = Windows.read(day.data / "split" / "windows.json").judge_end
    slates = day.slates
    assert (slates.open == (slates.requests.timestamps + HOUR > end)).all()
    assert slates.open.sum() == 10


def test_a_log_without_served_requests_has_no_slates(rivals: Rivals) -> None:
    data = rivals.equal.root / "data"
    none = load_slates(data / "split", data / "features", "judge")
    assert (len(none), none.items.shape, none.candidates.shape) == (0, (0, 0), (0, 0))
    assert len(none.select(np.zeros(0, dtype=np.int64))) == 0


def test_trees_learn_from_the_features_that_were_served(day: Day) -> None:
    split_folder, features = day.data / "split", day.data / "features"
    queries = load_queries(split_folder, features, "judge", "slate")
    table = pq.read_table(split_folder / "queries.parquet")
    rows = (pc.field("window") == "judge") & (pc.field("kind") == "slate")
    ids = table.filter(rows)["request_id"].to_pylist()
    assert {"r4", "r5"} < set(ids)
    served = load_slates(split_folder, features, "judge", ids)
    assert set(served.request_ids) <= set(ids)
    recommender = day.release.load(load_catalogue(split_folder))
    shown = np.array(
        [(list(row) + [-1] * 8)[:8] for row in map(queries.shown.__getitem__, range(len(queries)))],
        np.int32,
    )
    kept = [FEATURES.index(name) for name in LOGGED]

    def made(slates: Slates) -> Float32s:
        return shown_features(recommender, queries, ids, shown, slates)

    known = made(served)
    blind = [replace(c, features=None) for c in served.contexts]
    described = made(replace(served, contexts=blind))
    np.testing.assert_allclose(known, described, rtol=1e-5, atol=1e-6)
    marked = [replace(c, features=np.full_like(c.features, 42.0)) for c in served.contexts]
    changed = made(replace(served, contexts=marked))
    place = {request_id: row for row, request_id in enumerate(served.request_ids)}
    for row, request_id in enumerate(ids):
        candidates = served.candidates[place[request_id]]
        ranked = np.isin(shown[row], candidates[candidates >= 0])
        assert (changed[row, ranked][:, kept] == 42.0).all()
        np.testing.assert_array_equal(changed[row, ~ranked], described[row, ~ranked])
    others = [n for n in range(len(FEATURES)) if n not in kept]
    np.testing.assert_array_equal(changed[..., others], described[..., others])
    foreign = [replace(c, definition="of other code") for c in marked]
    np.testing.assert_array_equal(made(replace(served, contexts=foreign)), described)


def test_a_slate_in_the_cart_is_described_by_the_rule_of_the_cart(day: Day) -> None:
    """Ranks among items that may be shown again differ from ranks among new items."""
    split_folder, features = day.data / "split", day.data / "features"
    queries = load_queries(split_folder, features, "judge", "slate")
    table = pq.read_table(split_folder / "queries.parquet")
    rows = (pc.field("window") == "judge") & (pc.field("kind") == "slate")
    ids = table.filter(rows)["request_id"].to_pylist()
    served = load_slates(split_folder, features, "judge", ids)
    recommender = day.release.load(load_catalogue(split_folder))
    row, at = ids.index("r4"), int(np.flatnonzero(served.request_ids == "r4")[0])
    one = np.array([row])
    shown = queries.shown[row][None]
    made = shown_features(
        recommender, queries.select(one), ["r4"], shown, served.select(np.array([at]))
    )
    rule = recommender.describe(served.requests.select(np.array([at])), shown, True)
    np.testing.assert_allclose(made, rule, rtol=1e-5, atol=1e-6)
    assert not np.allclose(
        made, recommender.describe(queries.requests.select(one), shown), equal_nan=True
    )


def test_a_request_is_read_alike_after_later_retrains(day: Day, tmp_path: Path) -> None:
    log = shutil.copytree(day.data.parent / "log", tmp_path / "log")
    news = [e for e in market_events(TODAY + 1) if e["timestamp"] >= at(TODAY)]
    news.append(event("new", "u1", "a-new-item", at(TODAY, 5)))
    rows = {name: [e[name] for e in news] for name in news[0]}
    store_events(pa.table(rows), log, 2_000_000, at(TODAY + 2))
    later = make(tmp_path / "data", log)
    ids = ["r5", "r9", "r39"]
    before = load_slates(day.data / "split", day.data / "features", "judge", ids)
    after = load_slates(later / "split", later / "features", "rank", ids)
    assert after.request_ids.tolist() == before.request_ids.tolist() == ids
    np.testing.assert_array_equal(after.candidates, before.candidates)
    np.testing.assert_array_equal(after.scores, before.scores)
    for old, new in zip(before.contexts, after.contexts, strict=True):
        np.testing.assert_array_equal(old.features, new.features)
    shown = before.items
    np.testing.assert_array_equal(
        after.requests.item_features[after.requests.snapshot[:, None], shown],
        before.requests.item_features[before.requests.snapshot[:, None], shown],
    )
