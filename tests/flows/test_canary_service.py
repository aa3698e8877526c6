"""Canaries in real services: two of them on one database agree, and nobody notices the end."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from base.settings import Settings
from features.schema import MINUTE
from flows.rollout import Rollout
from serving import canaries, channels, release, tables, verdicts
from serving.database import connect
from tests.flows.test_cli import rondo
from tests.serving.running import from_checkout, serving
from tests.serving.small import NOW, make_release

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # BentoML's imports
]


@dataclass
class Shop:
    """Two services on one database, and two releases."""

    clients: list[httpx.Client]
    home: Path
    engine: sa.Engine
    releases: list[str]

    def recommend(self, user: str, service: int = 0) -> dict[str, Any]:
        asked = {"user_id": user, "k": 12}
        response = self.clients[service].post("/recommend", json=asked)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def wait_for(self, **state: str | int | None) -> None:
        """Wait until both services say so."""
        deadline = time.monotonic() + 30
        for client in self.clients:
            while True:
                said = client.post("/status", json={}).json()
                if all(said[name] == value for name, value in state.items()):
                    break
                assert time.monotonic() < deadline, said
                time.sleep(0.1)

    def click(self, answer: dict[str, Any], user: str) -> None:
        event = {
            "event_id": f"click-{answer['request_id']}",
            "user_id": user,
            "item_id": answer["items"][0]["item_id"],
            "event_type": "click",
            "request_id": answer["request_id"],
        }
        response = self.clients[0].post("/feedback", json={"events": [event]})
        assert response.json()["accepted"] == 1

    def an_hour_passes(self) -> None:
        """What was logged happened an hour and a minute earlier."""
        events = tables.events
        with self.engine.begin() as connection:
            earlier = events.c.timestamp - 61 * MINUTE
            connection.execute(sa.update(events).values(timestamp=earlier))

    def rondo(self, *arguments: str) -> str:
        done = rondo(self.home, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("shop")
    rollout = Rollout(Settings(home=home), connect(f"sqlite:///{home / 'rondo.db'}"))
    ids = []
    for seed in (1, 2):
        make_release(home / "made" / str(seed), seed)
        ids.append(release.publish(home / "made" / str(seed), str(home / "releases")))
        verdicts.register(
            rollout.engine, ids[-1], str(home), {"feature_fingerprint": "f"}, now=seed
        )
        verdicts.record(rollout.engine, ids[-1], "canary", {}, {}, None)
    with ExitStack() as stack:
        clients = [
            stack.enter_context(serving(from_checkout(), checkout, home, {})) for _ in range(2)
        ]
        yield Shop(clients, home, rollout.engine, ids)
    rollout.engine.dispose()


def test_a_small_shop_gets_to_its_first_champion_by_a_canary(shop: Shop) -> None:
    """No champion: a release with the verdict `canary` earns its place against popularity."""
    first = shop.releases[0]
    assert "against recency-popularity" in shop.rondo(
        "canary", "start", first[:12], "--share", "0.5"
    )
    shop.wait_for(release=None, canary=first)
    items = [{"item_id": f"i{n}", "title": f"Item {n}"} for n in range(40)]
    shop.clients[0].post("/catalogue", json={"items": items})
    shop.wait_for(catalogue_sequence=40)
    arms: dict[str, str] = {}
    for number in range(480):
        user = f"visitor-{number}"
        answer = shop.recommend(user, number % 2)
        arms[user] = answer["arm"]
        assert answer["release"] == (first if answer["arm"] == "canary" else None)
        if number % 4 == 0:
            assert shop.recommend(user, 1 - number % 2)["arm"] == answer["arm"]
        if number % 10 < (8 if answer["arm"] == "canary" else 2):
            shop.click(answer, user)
    assert 200 < list(arms.values()).count("canary") < 280
    assert "the time for clicks has passed for 0 users" in shop.rondo("canary", "check")
    shop.an_hour_passes()
    assert "users in the control" in shop.rondo("canary", "check")
    shop.wait_for(release=first, canary=None)
    assert channels.history(shop.engine, "champion")[0].reason.startswith("canary: its reward")
    assert "promoted: its reward" in shop.rondo("canary", "show")


def test_a_rollback_moves_everyone_without_a_failed_request(shop: Shop) -> None:
    first, second = shop.releases
    if channels.read(shop.engine, "champion") is None:
        channels.move(shop.engine, "champion", first, 0, None, now=NOW)
    canaries.start(shop.engine, "canary", second, first, 0.5, now=NOW)
    shop.wait_for(release=first, canary=second)
    users = [f"later-{n}" for n in range(30)]
    served = {user: shop.recommend(user)["release"] for user in users}
    assert set(served.values()) == {first, second}
    stop, failures, answers = threading.Event(), [], []

    def ask(service: int) -> None:
        number = 0
        while not stop.is_set():
            try:
                number += 1
                answers.append(shop.recommend(users[number % 30], service)["release"])
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    said = shop.rondo("canary", "stop", "--withdraw", "--reason", "test")
    shop.wait_for(release=first, canary=None)
    time.sleep(0.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert "rolled back: test" in said
    assert failures == []
    assert len(answers) > 50
    assert {shop.recommend(user, n)["release"] for user in users for n in range(2)} == {first}
    assert channels.withdrawn(shop.engine, "champion") == {second}


def test_a_shadow_is_scored_by_the_service_and_shown_to_nobody(shop: Shop) -> None:
    first, second = shop.releases
    if channels.read(shop.engine, "champion") is None:
        channels.move(shop.engine, "champion", first, 0, None, now=NOW)
    said = shop.rondo("canary", "start", second[:12], "--shadow")
    assert "for 100% of requests" in said
    shop.wait_for(release=first, shadow=second)
    assert {shop.recommend(f"shaded-{n}")["release"] for n in range(10)} == {first}
    deadline = time.monotonic() + 20
    while "10 slates scored" not in (shown := shop.rondo("canary", "show")):
        assert time.monotonic() < deadline, shown
    shop.rondo("canary", "stop", "--shadow")
    shop.wait_for(shadow=None)
