"""What was served is read back from the log: requests, scores, propensities, outcomes by slot."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from base.settings import Settings
from features.batch.aggregate import aggregate
from features.ingest import store_events, store_requests
from features.online import OnlineStore
from features.requests.slates import Slates, load_slates
from features.requests.training_set import load_catalogue
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
