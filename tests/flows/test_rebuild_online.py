"""The online store is lost: what is served meanwhile, and the command that restores it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from redis import Redis
from redis.exceptions import ConnectionError as Unreachable

from base.settings import Settings
from features.batch.aggregate import aggregate
from features.feast_store import ONLINE
from features.online import OnlineStore
from features.splits.split import split
from features.splits.windowing import SplitParams
from flows import environment
from flows.rebuild_online import Refilled, rebuild
from flows.rollout import CHANNEL, Rollout, experiment
from flows.workspace import Workspace, prepare
from serving import channels, live_history, release, verdicts
from serving.database import connect
from serving.engine import Engine
from serving.fallback import NO_ONLINE_STORE
from serving.feedback_log import FeedbackLog
from serving.live import Follower
from serving.metrics import Metrics
from serving.models import RecommendInput, RecommendOutput
from serving.signing import Signer
from serving.writer import Writer
from tests.features.logs import random_log
from tests.flows.conftest import git
from tests.serving.small import NOW, make_release
from tests.serving.test_feedback_log import event

REDIS = "RONDO_TEST_REDIS_URL"
STORES = [pytest.param(None, id="sqlite"), pytest.param(REDIS, marks=pytest.mark.servers)]
USERS = [f"u{n}" for n in range(20)]
#: A database of the Redis that no other test uses.
NUMBER = 9
PIPELINE = """
stages:
  features:
    cmd: exec cp -r ${input}/features data/features
    deps: ["${input}"]
    outs: [data/features]
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release, and the features of a log with the same users and items."""
    root = tmp_path_factory.mktemp("made")
    make_release(root / "release")
    log = random_log(root / "log")
    for name in ("split", "features"):
        (root / "data" / name).mkdir(parents=True)
    split(log, root / "data/split", SplitParams(min_targets=20), False)
    aggregate(root / "data/split", root / "data/features")
    return root


@dataclass(frozen=True)
class Installation:
    """A champion with its data version, feedback, a full online store and a service."""

    rollout: Rollout
    follower: Follower
    engine: Engine
    pusher: live_history.Pusher
    redis: Redis | None

    def answers(self) -> dict[str, RecommendOutput]:
        """The items that each user would be shown at one moment."""
        self.follower.poll()
        return {
            user: self.engine.decide(
                self.follower.live, RecommendInput(user_id=user, k=20), f"r-{user}", NOW
            ).answer
            for user in USERS
        }

    def lose(self) -> None:
        if self.redis is not None:
            self.redis.flushdb()
            return
        for path in (self.rollout.settings.root / "feast").glob(f"{ONLINE}*"):
            path.unlink()

    def feedback(self, event_id: str, user: str, item: str) -> None:
        """Store feedback as the service does: in the log first, then push."""
        log = FeedbackLog(self.rollout.engine)
        log.append(events=[event(event_id, user_id=user, item_id=item, timestamp=NOW - 50)])
        self.pusher.push([user], self.follower.live.history_length, 0.0, NOW)


@pytest.fixture(params=STORES)
def installation(
    request: pytest.FixtureRequest, made: Path, small_checkout: Path, tmp_path: Path
) -> Iterator[Installation]:
    redis, settings = None, Settings(home=tmp_path / "home")
    if request.param is not None:
        if not (address := os.environ.get(request.param)):
            pytest.skip(f"{request.param} is not set")
        url = f"redis://{address}/{NUMBER}"
        redis = Redis.from_url(url)
        redis.flushdb()
        settings = Settings(home=tmp_path / "home", redis_url=SecretStr(url))
    rollout = Rollout(settings, connect(settings.database))
    champion = release.publish(made / "release", settings.releases)
    known = {"feature_fingerprint": "f"}
    verdicts.register(rollout.engine, champion, "somewhere", known, now=NOW)
    channels.move(rollout.engine, CHANNEL, champion, 0, None, now=1)

    (small_checkout / "dvc.yaml").write_text(PIPELINE)
    (small_checkout / ".gitignore").write_text("/data/log\n/data/features\n")
    git(small_checkout, "commit", "-qam", "features")
    place = prepare(settings.root / "workspace", small_checkout, settings.remote)
    place.log.parent.mkdir(parents=True)
    subprocess.run(["cp", "-r", str(made / "data"), str(place.log)], check=True)
    place.add([place.log])
    with place.repo() as repo:
        repo.reproduce()
    place.save_experiment(experiment(champion))
    rollout.online.materialise(place.root / "data" / "features", NOW)

    log, metrics = FeedbackLog(rollout.engine), Metrics(CollectorRegistry())
    online = OnlineStore(settings)
    pusher = live_history.Pusher(log, online)
    follower = Follower(
        rollout.engine, online, lambda identity: release.Release.open(rollout.fetch(identity)),
        CHANNEL, None, metrics, recovered=lambda: pusher.push([], 200, 0.0, NOW),
    )  # fmt: skip
    writer = Writer(log, lambda _: None, metrics)
    engine = Engine(
        lambda: follower.live, online, log, writer, Signer(b"key"), lambda: "new", metrics
    )
    found = Installation(rollout, follower, engine, pusher, redis)
    for number, user in enumerate(USERS[:15]):
        found.feedback(f"click-{user}", user, f"i{number}")
        hidden = event(f"hide-{user}", user_id=user, item_id="i30", timestamp=NOW - 40)
        log.append(events=[hidden | {"event_type": "hide"}])
        pusher.push([user], 200, 0.0, NOW)
    yield found
    writer.close()
    rollout.engine.dispose()
    if redis is not None:
        redis.flushdb()
        redis.close()


def test_a_lost_store_is_rebuilt_by_one_command_and_everybody_is_shown_the_same_as_before(
    installation: Installation,
) -> None:
    before = installation.answers()
    seen = installation.rollout.online.snapshot()
    assert {answer.fallback for answer in before.values()} == {None}
    installation.lose()
    degraded = installation.answers()
    assert {answer.fallback for answer in degraded.values()} == {NO_ONLINE_STORE}
    for number, user in enumerate(USERS[:15]):  # the log knows what they took and what they hid
        assert not {f"i{number}", "i30"} & {item.item_id for item in degraded[user].items}
    assert degraded != before

    settings = installation.rollout.settings
    url = settings.redis_url
    variables = {
        **environment.variables(settings),
        **({"RONDO_REDIS_URL": url.get_secret_value()} if url else {}),
    }
    result = subprocess.run(
        [sys.executable, "-c", "from flows.cli import main; main()", "rebuild-online"],
        env={**os.environ, **variables},
        cwd=environment.CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert "15 live histories, batch views of release" in result.stdout
    assert installation.answers() == before
    assert installation.follower.live.features_at == seen > 0


def test_a_retrain_that_finds_the_store_empty_restores_the_histories_as_well(
    installation: Installation, small_checkout: Path
) -> None:
    before = installation.answers()
    installation.lose()
    rollout = installation.rollout
    place = Workspace(rollout.settings.root / "workspace", small_checkout)
    rollout.materialise(place, NOW)
    assert installation.answers() == before


def test_what_is_fed_back_while_the_store_is_away_is_pushed_when_it_is_back(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is lost, and no command is needed."""
    installation.answers()

    def away(*_: object) -> None:
        raise Unreachable("it is away")

    provider = type(installation.engine._online._reader.provider)
    with monkeypatch.context() as patch:
        for name in ("online_read", "online_write_batch"):
            patch.setattr(provider, name, away)
        with pytest.raises(Unreachable):
            installation.feedback("meanwhile", "u1", "i40")
        lost = installation.answers()["u1"]
        assert lost.fallback == NO_ONLINE_STORE
        assert "i40" not in {item.item_id for item in lost.items}
    back = installation.answers()["u1"]
    assert back.fallback is None
    history = installation.engine.history("u1")
    assert "i40" in {entry.item_id for entry in history.events}


def test_a_store_that_fails_between_two_looks_is_no_error_for_whoever_asks(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    installation.answers()

    def away(*_: object) -> None:
        raise Unreachable("it is away")

    monkeypatch.setattr(OnlineStore, "read", away)
    live = installation.follower.live
    made = installation.engine.decide(live, RecommendInput(user_id="u1"), "r", NOW)
    assert made.answer.fallback == NO_ONLINE_STORE
    assert made.answer.items


def test_the_features_of_another_meaning_are_never_put_in(installation: Installation) -> None:
    """The newest release was held and defines features differently, so the champion's features
    are restored."""
    before = installation.answers()
    rollout = installation.rollout
    verdicts.register(rollout.engine, "ee" * 32, "x", {"feature_fingerprint": "other"}, now=2)
    installation.lose()
    champion = channels.read(rollout.engine, CHANNEL)
    assert champion is not None
    assert rebuild(rollout, lambda _: None) == Refilled(15, champion.release)
    assert installation.answers() == before


def test_without_a_champion_the_histories_come_back(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    rollout = Rollout(settings, connect(settings.database))
    events = [event(f"e{n}", user_id=f"v{n:04}", item_id="i1") for n in range(2_500)]
    FeedbackLog(rollout.engine).append(events=events)
    told: list[str] = []
    assert rebuild(rollout, told.append) == Refilled(2_500, None)
    assert told[-1] == "live histories of 2,500 users are restored"
    rollout.engine.dispose()


def test_users_are_listed_once_each_in_pages(engine: sa.Engine) -> None:
    log = FeedbackLog(engine)
    log.append(events=[event(f"e{n}", user_id=f"u{n % 7}", item_id="i1") for n in range(30)])
    log.append(events=[event("s", user_id="u9", item_id=None) | {"event_type": "search"}])
    pages, last = [], ""
    while page := log.users(last, 3):
        pages.append(page)
        last = page[-1]
    assert pages == [["u0", "u1", "u2"], ["u3", "u4", "u5"], ["u6"]]
