"""The parity gate: what was served equals what training computes, and a difference is detected."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from base.settings import Settings
from features.online import OnlineStore
from features.requests.user_rows import UserRows
from features.schema import DAY, MINUTE
from flows.rollout import CHANNEL, Rollout
from flows.serving_parity import NAME, PARTS, Skew, judged, serving_parity
from flows.workspace import Workspace
from serving import channels, live_history
from serving.database import connect
from serving.engine import Engine
from serving.feedback_log import FeedbackLog
from serving.live import Live, empty, with_features, with_release
from serving.metrics import Metrics
from serving.models import RecommendInput
from serving.release import Release
from serving.signing import Signer
from serving.writer import Writer
from tests.features.logs import START, at, item
from tests.flows.rivals import (
    ITEMS,
    TODAY,
    USERS,
    YESTERDAY,
    Rivals,
    make_rivals,
    market_events,
    workspace,
)
from training.check import Check
from training.thresholds import GateParams

pytestmark = pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning")
NOON = at(YESTERDAY, 12.01)


@dataclass
class Served:
    """Yesterday's champion as it served today's first half."""

    rollout: Rollout
    rivals: Rivals
    live: Live
    challenger: str

    def recommend(self, live: Live | None = None, now: int = NOON) -> None:
        """A logged slate for each user at about `now`."""
        log, metrics = FeedbackLog(self.rollout.engine), Metrics(CollectorRegistry())
        writer = Writer(log, lambda _: None, metrics)
        bundle = live or self.live
        engine = Engine(
            lambda: bundle, self.rollout.online, log, writer, Signer(b"k"), str, metrics
        )
        for number in range(USERS):
            asked = RecommendInput(user_id=f"u{number}", exclude=["i1"], request_id=f"r{number}")
            made = engine.decide(bundle, asked, f"r{number}", now + number)
            log.append([made.slate])
        writer.close()

    def check(self) -> Check:
        return serving_parity(self.rivals.equal, self.rollout, self.challenger, GateParams())


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Rivals:
    return make_rivals(tmp_path_factory.mktemp("rivals"), checkout)


@pytest.fixture(scope="module")
def online(rivals: Rivals, tmp_path_factory: pytest.TempPathFactory) -> OnlineStore:
    """The content of the online store at noon: yesterday's snapshot, and events since then."""
    return filled(rivals.champion, tmp_path_factory.mktemp("online"), at(YESTERDAY), NOON)


def filled(retrained: Workspace, home: Path, when: int, now: int) -> OnlineStore:
    """The online store as a retrain at `when` leaves it, plus events until `now`, µs."""
    store = OnlineStore(Settings(home=home))
    store.materialise(retrained.root / "data" / "features", when)
    engine = connect(f"sqlite:///{home / 'events.db'}")
    log = FeedbackLog(engine)
    log.append(events=[e for e in market_events(TODAY) if e["timestamp"] < now])
    live_history.push(log, store, [f"u{n}" for n in range(USERS)], 200, 0.0, now)
    engine.dispose()
    return store


@pytest.fixture
def served(rivals: Rivals, online: OnlineStore, tmp_path: Path) -> Iterator[Served]:
    engine = connect(f"sqlite:///{tmp_path / 'rondo.db'}")
    rollout = Rollout(Settings(home=tmp_path), engine)
    vars(rollout)["online"] = online
    released = [place.root / "data" / "release" for place in (rivals.champion, rivals.equal)]
    from serving import release

    _, challenger = (release.publish(folder, rollout.settings.releases) for folder in released)
    live = with_features(with_release(empty(), Release.open(released[0]), None), online)
    yield Served(rollout, rivals, live, challenger)
    engine.dispose()


def test_what_was_served_equals_what_training_computes(served: Served) -> None:
    served.recommend()
    check = served.check()
    assert check.passed is True, check.reason
    assert check.value == 0.0
    for part in PARTS:
        assert f"{part} 0 of {USERS}" in check.reason


@pytest.mark.parametrize(
    ("retrained", "asked"),
    [
        pytest.param(YESTERDAY + 0.125, NOON, id="the same day"),
        pytest.param(YESTERDAY - 3, NOON, id="three days ago"),
        pytest.param(YESTERDAY - 2.875, at(YESTERDAY - 3, 20), id="long before the windows"),
    ],
)
def test_it_holds_whenever_the_last_retrain_was(
    served: Served, checkout: Path, tmp_path: Path, retrained: float, asked: int
) -> None:
    """At night, with part of the day's events, and longer ago than training's snapshots reach."""
    place = workspace(tmp_path / "retrained", checkout, retrained)
    store = filled(place, tmp_path / "online", at(0, 24 * retrained), asked)
    vars(served.rollout)["online"] = store
    served.recommend(with_features(replace(served.live, features_at=0), store), asked)
    check = served.check()
    assert check.passed is True, check.reason
    for part in PARTS:
        unknown = part == "scores" and asked < NOON - DAY  # what its items were is not kept
        assert f"{part} " + ("not comparable" if unknown else f"0 of {USERS}") in check.reason


def test_items_that_changed_came_or_were_sent_again_since_are_no_skew(
    served: Served, checkout: Path, tmp_path: Path
) -> None:
    again = [item(f"i{n}", NOON + MINUTE, created_at=START) for n in range(0, ITEMS, 2)]
    changed = [
        item(f"i{n}", NOON + MINUTE, created_at=START, price=3.0, title="renamed")
        for n in range(1, ITEMS, 2)
    ]
    new = [item(f"new{n}", NOON + MINUTE, categories=["a"]) for n in range(40)]
    place = workspace(tmp_path / "later", checkout, TODAY, [*again, *changed, *new])
    served.recommend()
    later = replace(served, rivals=replace(served.rivals, equal=place))
    check = later.check()
    assert check.passed is True, check.reason
    assert f"scores 0 of {USERS}" in check.reason


def cut(served: Served, _: pytest.MonkeyPatch) -> Live:
    return replace(served.live, history_length=3)


def stale_items(served: Served, _: pytest.MonkeyPatch) -> Live:
    """The item features of the day before, with today's time."""
    behind = OnlineStore(Settings(home=served.rollout.settings.home / "behind"))
    features = served.rivals.champion.root / "data" / "features"
    behind.materialise(features, end=at(YESTERDAY - 1))
    return replace(served.live, item_features=behind.read_items(served.live.catalogue))


def wrong_window(served: Served, patch: pytest.MonkeyPatch) -> Live:
    online, read = served.rollout.online, served.rollout.online.read

    def skewed(*arguments: object) -> UserRows:
        rows: UserRows = read(*arguments)  # type: ignore[arg-type]
        values = rows.user_features.copy()
        values[:, 1] = values[:, 0]  # one day where seven are asked for
        return rows._replace(user_features=values)

    patch.setattr(online, "read", skewed)
    return served.live


@pytest.mark.parametrize(
    ("skew", "part"),
    [(cut, "history"), (stale_items, "scores"), (wrong_window, "user_features")],
)
def test_a_planted_skew_holds_and_is_shown_by_an_example(
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    skew: Callable[[Served, pytest.MonkeyPatch], Live],
    part: str,
) -> None:
    served.recommend(skew(served, monkeypatch))
    check = served.check()
    assert check.passed is False
    assert f"{part} 0 of" not in check.reason
    assert "such as request r" in check.reason
    assert f", {part}: " in check.reason


def test_what_was_served_without_the_online_store_is_not_compared(served: Served) -> None:
    """Such answers say so.

    If there are no others, parity is unknown, and the message says what to do.
    """
    served.recommend(replace(served.live, online_lost=True))
    check = served.check()
    assert check.passed is None
    assert f"none of {USERS} logged requests" in check.reason
    assert f"{USERS} were answered without the online store" in check.reason
    assert "RONDO_REDIS_URL" in check.reason
    assert "rondo rebuild-online" in check.reason


def test_a_store_that_was_never_filled_is_none(served: Served) -> None:
    unknown = np.full_like(served.live.item_features, np.nan)
    served.recommend(replace(served.live, features_at=0, item_features=unknown))
    check = served.check()
    assert check.passed is None
    assert f"{USERS} were answered without the online store" in check.reason


def test_without_a_request_there_is_nothing_to_compare(served: Served) -> None:
    check = served.check()
    assert check.passed is True
    assert "no request was served" in check.reason


def test_requests_before_the_first_promotion_keep_nobody_from_being_promoted(
    served: Served,
) -> None:
    """Before that, the service knows only the items that it was sent, and histories with those
    items."""
    served.recommend(replace(served.live, release=None, recommender=None))
    assert served.check().passed is True
    channels.move(served.rollout.engine, CHANNEL, served.challenger, 0, None, now=NOON)
    assert served.check().passed is None, "there is a champion, which serves nobody"


def test_requests_that_cannot_be_computed_again_hold(served: Served) -> None:
    gone = replace(served.live.release, id="f" * 64) if served.live.release else None
    served.recommend(replace(served.live, release=gone))
    check = served.check()
    assert check.passed is None
    assert "could not be computed again" in check.reason
    nothing = judged(Skew(dict.fromkeys(PARTS, 0), dict.fromkeys(PARTS, 0)), 7, 0.1)
    assert (nothing.name, nothing.passed) == (NAME, None)
    assert "none of 7 logged requests" in nothing.reason
