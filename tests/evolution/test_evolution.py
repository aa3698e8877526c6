"""The next version reads data of this version, and this version works beside the next one."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from base.settings import Settings
from features.items.catalogue import Catalogue
from features.online import OnlineStore
from features.schema import EVENT_CODES, EventType
from serving import catalogue_feed, channels, migrate, release
from serving.check import TOLERANCE
from serving.database import connect, reading
from serving.fallback import NO_ONLINE_STORE
from serving.feedback_log import FeedbackLog
from tests.evolution.grow import grow
from tests.features.logs import at, write_log
from tests.features.logs import event as logged
from tests.serving import old_schema
from tests.serving.conftest import DATABASES, SERVERS, empty_database
from tests.serving.running import from_checkout, serving
from tests.serving.small import NOW, make_release
from tests.serving.test_feedback_log import event
from tests.training import market

HEADERS = {"x-rondo-time": str(NOW)}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Path:
    """The source of the next version."""
    return grow(checkout, tmp_path_factory.mktemp("next"))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release of this version."""
    folder = tmp_path_factory.mktemp("made") / "release"
    make_release(folder)
    return folder


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    if SERVERS[request.param] is None:
        yield f"sqlite:///{tmp_path / 'rondo.db'}"
        return
    with empty_database(SERVERS[request.param] or "") as url:
        yield url


def look(tree: Path, folder: Path, url: str, log: Path) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.evolution.look", str(folder), url, str(log)],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def first_format(folder: Path, made: Path) -> Path:
    """A release in the first format, which did not say which event types and features it has."""
    shutil.copytree(made, folder)
    for name, absent in (
        ("transformer/config.json", {"event_types"}),
        ("golden.json", {"user_features", "item_features"}),
    ):
        content = json.loads((folder / name).read_text())
        assert absent <= set(content)
        kept = {key: value for key, value in content.items() if key not in absent}
        (folder / name).write_text(json.dumps(kept))
    release.seal(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("url", DATABASES, indirect=True)
def test_the_next_version_reads_releases_database_and_log_of_this_one(
    tree: Path, made: Path, url: str, tmp_path: Path
) -> None:
    engine = connect(url)
    FeedbackLog(engine).append(events=[event("e1")])
    catalogue_feed.upsert(engine, [{"item_id": "i1", "title": "One", "received_at": NOW}])
    log = write_log(tmp_path / "log", [logged("e1", "u", "i1", at(0))])
    found = look(tree, made, url, log)
    assert found["check"]["golden_requests"] > 0
    assert found["check"]["golden_difference"] <= TOLERANCE
    assert "brand" in found["items"]
    assert found["code"] == len(EventType)
    assert found["clicks differ from views"]
    assert found["nods are views"]
    assert (found["revision"], found["lacking"]) == (f"{int(migrate.head()) + 1:04d}", [])
    assert found["events"] == [{"event_id": "e1", "duration": None}]
    assert found["feed"] == [{"item_id": "i1", "brand": None}]
    assert found["log"] == [["e1", None]]
    # This version goes on, with the database as the next one left it.
    assert FeedbackLog(engine).append(events=[event("e2")]).last_offset == 2
    assert catalogue_feed.last_sequence(engine) == 1
    engine.dispose()
    again = connect(url)
    assert FeedbackLog(again).read(0, 10)["event_id"].to_pylist() == ["e1", "e2"]
    again.dispose()


@pytest.mark.slow
def test_the_next_version_reads_the_first_releases_and_the_first_database(
    tree: Path, made: Path, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'rondo.db'}"
    old_schema.make(url)
    log = write_log(tmp_path / "log", [logged("e1", "u", "i1", at(0))])
    found = look(tree, first_format(tmp_path / "first", made), url, log)
    assert found["check"]["golden_difference"] <= TOLERANCE
    assert found["nods are views"]
    assert found["lacking"] == []
    assert [row["event_id"] for row in found["events"]] == ["e1"]


@pytest.mark.slow
def test_the_next_version_serves_a_release_of_this_one_from_its_home(
    tree: Path, made: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    settings = Settings(home=home)
    identity = release.publish(made, settings.releases)
    engine = connect(settings.database)
    channels.move(engine, "champion", identity, 0, None, now=NOW)
    catalogue_feed.upsert(engine, [{"item_id": "new", "title": "New", "received_at": NOW - 1}])
    FeedbackLog(engine).append(events=[event("e1", user_id="u", timestamp=NOW - 1)])
    OnlineStore(settings).push_history(FeedbackLog(engine).recent(["u"], 200), NOW)

    def nod(item_id: str) -> dict[str, Any]:
        return {"event_id": f"n-{item_id}", "user_id": "u", "item_id": item_id, "event_type": "nod"}

    grown = {"RONDO_CLOCK": "request", "PYTHONPATH": str(tree)}
    with serving(from_checkout(), tree, home, grown) as client:
        first = client.post("/recommend", json={"user_id": "u"}, headers=HEADERS).json()
        # Nothing was materialised into this home: the history comes from the log, and it says so.
        origin = (first["release"], first["source"], first["fallback"])
        assert origin == (identity, "trees", NO_ONLINE_STORE)
        item = first["items"][0]["item_id"]
        sent = client.post("/feedback", json={"events": [nod(item)]}, headers=HEADERS).json()
        assert sent["accepted"] == 1, sent
        later = {"x-rondo-time": str(NOW + 1)}
        second = client.post("/recommend", json={"user_id": "u"}, headers=later).json()
        assert (second["release"], second["fallback"]) == (identity, NO_ONLINE_STORE)
        assert item not in {entry["item_id"] for entry in second["items"]}
        history = client.post("/history", json={"user_id": "u"}, headers=later).json()
        assert [e["event_type"] for e in history["events"]] == ["click", "nod"]

    with reading(engine) as connection:
        assert (migrate.revision(connection) or "") > migrate.head()
    # This version takes over again, with what the next one has left in the online store.
    opened = release.Release.open(made)
    catalogue = Catalogue.from_table(opened.items)
    rows = OnlineStore(settings).read(["u"], catalogue, opened.history_length)
    assert rows.histories.event_types.tolist() == [EVENT_CODES["click"], len(EventType)]
    requests = market.requests([[]])
    ranked = opened.load(catalogue).rank(replace(requests, histories=rows.histories))
    assert np.isfinite(ranked.scores).all()
    engine.dispose()
