"""How a worker takes up, keeps and drops a canary."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from features.online import OnlineStore
from serving import canaries, catalogue_feed, channels
from serving import live as following
from serving.live import Follower
from serving.metrics import Metrics
from serving.release import Release, ReleaseError
from tests.serving.small import NOW, make_release


class Store:
    """The releases that a worker may fetch. Those in `gone` cannot be read."""

    def __init__(self, *releases: Release) -> None:
        self.releases = {release.id: release for release in releases}
        self.gone: set[str] = set()
        self.fetched: list[str] = []

    def __call__(self, identity: str) -> Release:
        self.fetched.append(identity)
        if identity in self.gone:
            raise ReleaseError(f"no release {identity}")
        return self.releases[identity]


@pytest.fixture(scope="module")
def third(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder: Path = tmp_path_factory.mktemp("third") / "c"
    make_release(folder, seed=3)
    return Release.open(folder)


Start = Callable[[], Follower]


@pytest.fixture
def store(releases: tuple[Release, Release], third: Release) -> Store:
    return Store(*releases, third)


@pytest.fixture
def worker(
    sqlite: sa.Engine, online: OnlineStore, store: Store, releases: tuple[Release, Release]
) -> Iterator[Start]:
    """Starts workers that follow the channel; the first release is its champion."""
    channels.move(sqlite, "champion", releases[0].id, 0, None, now=NOW)
    started: list[Follower] = []

    def start() -> Follower:
        metrics = Metrics(CollectorRegistry())
        started.append(Follower(sqlite, online, store, "champion", None, metrics))
        return started[-1]

    yield start
    for follower in started:
        follower.close()


def test_a_worker_serves_both_and_loads_nothing_again_when_the_share_grows(
    sqlite: sa.Engine, worker: Start, store: Store, releases: tuple[Release, Release]
) -> None:
    follower = worker()
    one, two = releases[0].id, releases[1].id
    row = canaries.start(sqlite, "canary", two, one, 0.1, now=NOW)
    follower.poll()
    trial = follower.live.canary
    assert trial is not None
    assert trial.live is not None
    assert (follower.live.release_id, trial.live.release_id) == (one, two)
    grown = canaries.grow(sqlite, row, 0.2, None)
    catalogue_feed.upsert(sqlite, [{"item_id": "later", "title": "Later", "received_at": NOW}])
    follower.poll()
    trial = follower.live.canary
    assert trial is not None
    assert trial.live is not None
    assert (trial.row.share, trial.row.phase) == (0.2, 1)
    assert "later" in trial.live.catalogue.index
    assert "later" in follower.live.catalogue.index
    assert store.fetched == [one, two]
    canaries.finish(sqlite, grown, "stopped", "", None, now=NOW)
    follower.poll()
    assert follower.live.canary is None


def test_a_canary_of_another_champion_is_not_served(
    sqlite: sa.Engine, worker: Start, releases: tuple[Release, Release], third: Release
) -> None:
    follower = worker()
    canaries.start(sqlite, "canary", releases[1].id, releases[0].id, 0.1, now=NOW)
    follower.poll()
    assert follower.live.canary is not None
    channels.move(sqlite, "champion", third.id, 1, None, now=NOW)
    follower.poll()
    assert follower.live.release_id == third.id
    assert follower.live.canary is None


def test_a_canary_that_cannot_be_loaded_leaves_the_champion_and_is_tried_three_times(
    sqlite: sa.Engine,
    worker: Start,
    store: Store,
    releases: tuple[Release, Release],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "RETRY_SECONDS", 0.0)
    follower = worker()
    store.gone = {releases[1].id}
    canaries.start(sqlite, "canary", releases[1].id, releases[0].id, 0.1, now=NOW)
    for _ in range(5):
        follower.poll()
        assert follower.live.release_id == releases[0].id
        assert follower.live.canary is not None
        assert follower.live.canary.live is None
    assert store.fetched.count(releases[1].id) == canaries.MOST_LOADING
    # A worker that starts now does not try: the release may have ended the others.
    assert worker().live.canary is None
    assert store.fetched.count(releases[1].id) == canaries.MOST_LOADING


def test_a_shadow_follows_whatever_champion_there_is(
    sqlite: sa.Engine, worker: Start, releases: tuple[Release, Release], third: Release
) -> None:
    follower = worker()
    canaries.start(sqlite, "shadow", releases[1].id, releases[0].id, 1.0, now=NOW)
    follower.poll()
    channels.move(sqlite, "champion", third.id, 1, None, now=NOW)
    follower.poll()
    assert follower.live.shadow is not None
    assert follower.live.shadow.live is not None
    channels.move(sqlite, "champion", releases[1].id, 2, None, now=NOW)
    follower.poll()
    assert follower.live.shadow is None  # the two are the same now
