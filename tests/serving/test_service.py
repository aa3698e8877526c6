"""The service as its users meet it: a real `bentoml serve` process over HTTP."""

import json
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving import channels, release
from serving.database import connect
from serving.feedback_log import FeedbackLog
from tests.serving.running import addresses, from_checkout, serving
from tests.serving.small import NOW, make_release

HEADERS = {"x-rondo-time": str(NOW)}


@dataclass
class Service:
    """A running service, its database and two releases; the first one is the champion."""

    client: httpx.Client
    home: Path
    log: FeedbackLog
    releases: tuple[str, str]

    def post(self, path: str, body: Any, now: int = NOW) -> httpx.Response:
        return self.client.post(path, json=body, headers={"x-rondo-time": str(now)})

    def recommend(self, now: int = NOW, **body: Any) -> dict[str, Any]:
        response = self.post("/recommend", {"user_id": "u", **body}, now)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("service")
    ids = []
    for seed in (1, 2):
        make_release(home / "made" / str(seed), seed)
        ids.append(release.publish(home / "made" / str(seed), str(home / "releases")))
    engine = connect(f"sqlite:///{home / 'rondo.db'}")
    channels.move(engine, "champion", ids[0], 0, None, now=NOW)
    with serving(from_checkout(), checkout, home, {"RONDO_CLOCK": "request"}) as client:
        yield Service(client, home, FeedbackLog(engine), (ids[0], ids[1]))
    engine.dispose()


def test_it_listens_on_this_machine_alone(service: Service) -> None:
    assert addresses(service.client.base_url.port or 0) == {"127.0.0.1"}


def test_a_slate_names_what_served_it(service: Service) -> None:
    answer = service.recommend(k=7)
    assert (answer["release"], answer["source"]) == (service.releases[0], "trees")
    assert [item["position"] for item in answer["items"]] == list(range(7))
    assert all(0 < item["propensity"] <= 1 for item in answer["items"])


def test_the_log_says_which_release_is_served(service: Service) -> None:
    said = (service.home / "service.log").read_text()
    assert f"serving {service.releases[0]}, generation" in said


def test_feedback_changes_the_very_next_answer(service: Service) -> None:
    first = service.recommend(user_id="reacts")
    item = first["items"][0]["item_id"]
    event = {
        "event_id": "reacts-1",
        "user_id": "reacts",
        "item_id": item,
        "event_type": "click",
        "request_id": first["request_id"],
    }
    sent = service.post("/feedback", {"events": [event, event]}, NOW + 10)
    assert sent.json() == {"accepted": 1, "duplicates": 1, "rejected": []}
    second = service.recommend(NOW + 20, user_id="reacts", k=100)
    assert item not in {entry["item_id"] for entry in second["items"]}
    history = service.post("/history", {"user_id": "reacts"}).json()
    assert history["events"] == [{"item_id": item, "event_type": "click", "timestamp": NOW + 10}]


def test_a_forged_request_id_ends_as_a_dead_letter(service: Service) -> None:
    event = {
        "event_id": "forged",
        "user_id": "u",
        "item_id": "i1",
        "event_type": "click",
        "request_id": "whatever.000000000000000000000000",
    }
    answer = service.post("/feedback", {"events": [event]}).json()
    assert answer["accepted"] == 0
    assert "signature" in answer["rejected"][0]["reason"]
    assert service.log.dead_letters(1)[0]["payload"] == event


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("/recommend", {"user_id": "u", "k": 101}, 400, "less than or equal to 100"),
        ("/recommend", {"user_id": "u", "k": 0}, 400, "greater than or equal to 1"),
        ("/recommend", {}, 400, "user_id"),
        ("/recommend", {"user_id": "u", "colour": 1}, 400, "colour"),
        ("/recommend", {"user_id": [5]}, 400, "string"),
        ("/recommend", {"user_id": "a\tb"}, 400, "control character"),
        ("/recommend", [1], 400, "error"),
        ("/feedback", {"events": [{}] * 1001}, 400, "1000"),
        ("/feedback", {"events": "none"}, 400, "list"),
        ("/similar", {"item_id": "nobody"}, 404, "nobody"),
        ("/nothing", {}, 404, ""),
    ],
)
def test_a_bad_question_is_answered_with_what_is_wrong(
    service: Service, path: str, body: Any, status: int, words: str
) -> None:
    response = service.post(path, body)
    assert response.status_code == status
    assert words in response.text


def test_text_that_is_no_json_is_a_client_error(service: Service) -> None:
    response = service.client.post("/recommend", content=b"\xff{", headers=HEADERS)
    assert response.status_code == 400


def test_a_bad_question_is_one_line_in_the_log_without_what_was_sent(service: Service) -> None:
    service.post("/recommend", {"user_id": ["my secret"]})
    said = (service.home / "service.log").read_text()
    assert "refused: " in said
    assert "/recommend" in said
    assert "Traceback" not in said
    assert "my secret" not in said


def test_virtual_time_must_be_given_where_it_is_asked_for(service: Service) -> None:
    response = service.client.post("/recommend", json={"user_id": "u"})
    assert response.status_code == 400
    assert "x-rondo-time" in response.json()["error"]


def test_the_same_request_id_with_another_question_is_a_conflict(service: Service) -> None:
    first = service.recommend(request_id="idem")
    assert service.recommend(NOW + 9, request_id="idem") == first
    assert service.post("/recommend", {"user_id": "v", "request_id": "idem"}).status_code == 409


def test_a_new_item_is_shown_without_a_new_release(service: Service) -> None:
    item = {"item_id": "brand-new", "title": "Title 1 number 1", "created_at": NOW - 5}
    assert service.post("/catalogue", {"items": [item]}).json() == {"changed": 1}
    assert service.post("/catalogue", {"items": [item]}).json() == {"changed": 0}
    deadline = time.monotonic() + 20
    while service.post("/status", {}).json()["catalogue_sequence"] < 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    shown = service.recommend(k=100)["items"]
    assert "brand-new" in {entry["item_id"] for entry in shown}


def test_similar_items_come_nearest_first(service: Service) -> None:
    answer = service.post("/similar", {"item_id": "i7", "k": 5}).json()
    assert answer["source"] == "transformer"
    values = [item["similarity"] for item in answer["items"]]
    assert values == sorted(values, reverse=True)
    assert len(values) == 5


def test_health_metrics_and_documentation_are_there(service: Service) -> None:
    service.recommend()
    assert service.client.get("/livez").status_code == 200
    assert service.client.get("/readyz").status_code == 200
    metrics = service.client.get("/metrics").text
    assert "rondo_recommends_total{" in metrics
    schema = service.client.get("/docs.json").json()
    assert {"/recommend", "/feedback", "/similar", "/history"} <= set(schema["paths"])
    assert service.client.get("/").status_code == 200


def test_every_endpoint_has_a_curl_line_in_the_readme_and_each_is_answered(
    service: Service, checkout: Path
) -> None:
    lines = re.findall(r"^curl .*", (checkout / "README.md").read_text(), flags=re.MULTILINE)
    asked = {shlex.split(line)[1].removeprefix("localhost:3000") for line in lines}
    ours = set(service.client.get("/docs.json").json()["paths"])
    assert ours - {"/livez", "/healthz"} <= asked
    slate = service.recommend(user_id="u00001")
    places = {
        "localhost:3000": str(service.client.base_url).rstrip("/"),
        "REQUEST_ID": slate["request_id"],
        "i00007": slate["items"][0]["item_id"],
    }
    answers = {}
    for line in lines:
        for place, value in places.items():
            line = line.replace(place, value)
        command = shlex.split(line, comments=True)
        clock = f"{next(iter(HEADERS))}: {NOW + 10}"
        answer = subprocess.run(
            [*command, "-sS", "--fail-with-body", "-H", clock], capture_output=True, text=True
        )
        assert answer.returncode == 0, f"{line}: {answer.stdout} {answer.stderr}"
        answers[command[1].rpartition("/")[2]] = answer.stdout
    assert len(json.loads(answers["recommend"])["items"]) == 5
    assert json.loads(answers["feedback"]) == {"accepted": 1, "duplicates": 0, "rejected": []}
    assert json.loads(answers["catalogue"]) == {"changed": 1}
    assert json.loads(answers["history"])["events"][0]["item_id"] == places["i00007"]
    assert json.loads(answers["status"])["release"] == slate["release"]
    assert "rondo_recommends_total{" in answers["metrics"]


def test_the_service_never_imports_the_tools_that_train(checkout: Path) -> None:
    code = (
        "import sys; from serving.service import Rondo; Rondo.inner(); "
        "print([m for m in ('prefect', 'dvc', 'lightning') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    assert result.stdout.strip().splitlines()[-1] == "[]"


def test_the_champion_changes_without_a_failed_request(service: Service) -> None:
    engine = service.log.engine
    seen: list[tuple[int, str, int]] = []
    stop = threading.Event()

    def ask(worker: int) -> None:
        with httpx.Client(base_url=service.client.base_url, timeout=30) as client:
            n = 0
            while not stop.is_set():
                n += 1
                body = {"user_id": f"w{worker}-{n % 7}"}
                response = client.post("/recommend", json=body, headers=HEADERS)
                answer = response.json() if response.status_code == 200 else {}
                seen.append((response.status_code, answer.get("release"), answer.get("generation")))

    workers = [threading.Thread(target=ask, args=(n,)) for n in range(3)]
    for worker in workers:
        worker.start()
    current = channels.read(engine, "champion")
    assert current is not None
    for target in (service.releases[1], service.releases[0], service.releases[1]):
        current = channels.move(engine, "champion", target, current.generation, None, now=NOW)
        deadline = time.monotonic() + 30
        while seen[-1:] == [] or seen[-1][2] != current.generation:
            assert time.monotonic() < deadline, "the service did not follow the channel"
            time.sleep(0.05)
    stop.set()
    for worker in workers:
        worker.join()
    assert {status for status, _, _ in seen} == {200}
    assert {which for _, which, _ in seen} == set(service.releases)
    channels.rollback(engine, "champion", now=NOW)


def test_the_environment_sets_the_channel_the_address_the_repeat_and_the_log_level(
    checkout: Path, tmp_path: Path
) -> None:
    make_release(tmp_path / "made")
    identity = release.publish(tmp_path / "made", str(tmp_path / "releases"))
    engine = connect(f"sqlite:///{tmp_path / 'rondo.db'}")
    channels.move(engine, "canary", identity, 0, None, now=NOW)
    engine.dispose()
    settings = {
        "BENTOML_HOST": "0.0.0.0",
        "RONDO_REPEAT_MINUTES": "0",
        "RONDO_LOG_LEVEL": "ERROR",
    }
    for channel, followed in (("canary", identity), ("", None)):
        own = settings | {"RONDO_CHANNEL": channel}
        with serving(from_checkout(), checkout, tmp_path, own) as client:
            assert addresses(client.base_url.port or 0) == {"0.0.0.0"}
            answers = [client.post("/recommend", json={"user_id": "u"}).json() for _ in range(2)]
            assert {answer["release"] for answer in answers} == {followed}
            assert not any(answer["repeat"] for answer in answers)
        assert "generation" not in (tmp_path / "service.log").read_text()
