"""The same service on PostgreSQL or MariaDB with Redis, changed only by settings."""

import os
from pathlib import Path
from typing import Any

import pytest

from serving import channels, release
from serving.database import connect
from serving.feedback_log import FeedbackLog
from tests.serving.conftest import drop, empty_database
from tests.serving.running import from_checkout, serving
from tests.serving.small import NOW, make_release


@pytest.mark.servers
@pytest.mark.parametrize("variable", ["RONDO_TEST_POSTGRES_URL", "RONDO_TEST_MYSQL_URL"])
def test_the_service_reacts_to_feedback_on_real_servers(
    variable: str, checkout: Path, tmp_path: Path
) -> None:
    redis = os.environ.get("RONDO_TEST_REDIS_URL")
    if not redis:
        pytest.skip("RONDO_TEST_REDIS_URL is not set")
    make_release(tmp_path / "made")
    identity = release.publish(tmp_path / "made", str(tmp_path / "store"))
    with empty_database(variable) as url:
        engine = connect(url)
        channels.move(engine, "champion", identity, 0, None, now=NOW)
        settings = {
            "RONDO_DATABASE_URL": url,
            "RONDO_REDIS_URL": redis,
            "RONDO_RELEASES_URL": f"file://{tmp_path / 'store'}",
            "RONDO_CLOCK": "request",
        }
        user = f"u-{tmp_path.name}-{os.getpid()}"
        with serving(from_checkout(), checkout, tmp_path / "home", settings) as client:
            headers = {"x-rondo-time": str(NOW)}
            first = client.post("/recommend", json={"user_id": user}, headers=headers).json()
            assert first["release"] == identity
            event = {
                "event_id": f"{user}-1",
                "user_id": user,
                "item_id": first["items"][0]["item_id"],
                "event_type": "click",
                "request_id": first["request_id"],
            }
            sent = client.post("/feedback", json={"events": [event]}, headers=headers).json()
            assert sent == {"accepted": 1, "duplicates": 0, "rejected": []}
            later = {"x-rondo-time": str(NOW + 1)}
            asked = {"user_id": user, "k": 100}
            second = client.post("/recommend", json=asked, headers=later).json()
            assert event["item_id"] not in {item["item_id"] for item in second["items"]}
        table = FeedbackLog(engine).read(0, 1000)
        count = 10 + 1 + len(second["items"])
        assert table["offset"].to_pylist() == list(range(1, count + 1))
        assert table["propensity"][10].as_py() == first["items"][0]["propensity"]
        engine.dispose()


@pytest.mark.servers
@pytest.mark.parametrize("variable", ["RONDO_TEST_POSTGRES_URL", "RONDO_TEST_MYSQL_URL"])
def test_a_database_that_goes_away_is_told_as_such_by_every_endpoint(
    variable: str, checkout: Path, tmp_path: Path
) -> None:
    event = {"event_id": "e", "user_id": "u", "item_id": "i", "event_type": "view"}
    asked: dict[str, list[dict[str, Any]]] = {
        "/recommend": [{"user_id": "u"}, {"user_id": "u", "request_id": "mine"}],
        "/feedback": [{"events": [event]}],
        "/catalogue": [{"items": [{"item_id": "i"}]}],
    }
    with empty_database(variable) as url:
        home = tmp_path / "home"
        with serving(from_checkout(), checkout, home, {"RONDO_DATABASE_URL": url}) as client:
            drop(url, os.environ[variable])
            for endpoint, bodies in asked.items():
                for body in bodies:
                    answer = client.post(endpoint, json=body)
                    assert answer.status_code == 503, (endpoint, answer.text)
                    assert answer.json() == {"error": "the database is not available"}
                    assert answer.headers["retry-after"] == "1"
            assert client.post("/status", json={}).status_code == 200
