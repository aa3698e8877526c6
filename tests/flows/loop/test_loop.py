"""The whole job: on a small world, two days of users over HTTP; on a dirty dataset, two waves."""

import csv
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from flows.loop import command as loop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SMALL = (
    "world.humans=250",
    "world.initial_items=200",
    "world.history_days=6",
    "world.new_items=10",
    "world.sessions_per_day=120",
    "split.min_targets=100",
    "fit.max_epochs=2",
    "gate.min_users=30",
)
DIFFERENCES = ("served_minus_frozen", "served_minus_popularity")


def status(checkout: Path) -> str:
    command = ["git", "status", "--porcelain"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout


#: Of the dataset below: its own names, times and words.
MAPPING = {
    "events": {
        "path": "log.csv",
        "columns": {
            "user_id": "who", "item_id": "what", "event_type": "did", "value": "stars",
            "timestamp": "at",
        },
        "event_types": {"bought": "purchase", "looked": "view", "rated": "rating"},
        "timestamp": "%d.%m.%Y %H:%M:%S",
    },
    "items": {
        "path": "goods.csv",
        "columns": {
            "item_id": "sku", "title": "name", "categories": "kinds", "created_at": "since",
        },
        "timestamp": "%d.%m.%Y %H:%M:%S",
    },
}  # fmt: skip
SMALL_REPLAY = (
    f"ingest.mapping={json.dumps(MAPPING)}",
    "split.min_targets=100",
    "split.min_users=40",
    "fit.max_epochs=1",
    "gate.min_users=30",
)
DIRTY = 7


def play(root: Path, checkout: Path, *arguments: str) -> Path:
    """Run the job; its state is in `home`, what it printed in `told`, its last second in `late`."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "before").write_text(status(checkout))
    names = ("BENTOML_HOME", "PREFECT_HOME", "DVC_SITE_CACHE_DIR")
    environment = {k: v for k, v in os.environ.items() if k not in names}
    command = [sys.executable, "-m", "flows.loop", *arguments, "--reports", str(root / "reports")]
    result = subprocess.run(
        command,
        cwd=checkout,
        env=environment | {"RONDO_HOME": str(root / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    late = time.time() - (root / "reports" / "loop.html").stat().st_mtime
    (root / "late").write_text(str(late))
    (root / "told").write_text(result.stdout + result.stderr)
    return root


def settings(*values: str) -> list[str]:
    return [part for value in values for part in ("--set", value)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Path:
    """Where the job has left its state and its reports."""
    root = tmp_path_factory.mktemp("loop")
    return play(root, checkout, "--days", "2", "--people", "100", *settings(*SMALL))


def test_the_report_holds_what_it_promises(folder: Path) -> None:
    report = json.loads((folder / "reports" / "loop.json").read_text())
    assert report["seed"] == 1
    assert report["control"] is False
    assert report["confidence"] == 0.95
    assert report["wall_seconds"] > report["steps"]["start"] > 0
    assert report["peak_rss_mb"] > 0
    assert len(report["releases"]) == 3
    assert {r["verdict"] for r in report["releases"]} <= {"promote", "hold", "reject"}
    assert all(r["release"] and r["reasons"] for r in report["releases"])
    assert [day["day"] for day in report["days"]] == [0, 1]
    for day in report["days"]:
        assert day["sessions"] > 50
        assert 0 < day["ctr"] < 1
        assert day["events"] > 0
        reward = day["reward"]
        for values in (reward, day["greedy"]):
            assert values["oracle"] > max(values[s] for s in ("served", "frozen", "popularity")) > 0
        for name in DIFFERENCES:
            assert reward[name]["low"] <= reward[name]["mean"] <= reward[name]["high"]
    assert {"world", "retrain", "users", "value"} <= set(report["steps"])


def test_every_retrain_tells_every_check(folder: Path) -> None:
    told = (folder / "told").read_text()
    assert "all intervals 95%" in told
    for check in ("popularity", "data.events", "release.parity"):
        assert told.count(f" {check}: ") == 3, check


def test_every_verdict_has_a_page_with_the_learning_curves(folder: Path) -> None:
    pages = [path.read_text() for path in folder.rglob("verdict-*.html")]
    assert len(pages) == 3
    assert all("ndcg@10 on the tail" in page for page in pages)


def test_it_ends_at_once_and_quietly(folder: Path) -> None:
    assert float((folder / "late").read_text()) < 20
    assert "Error logging to API" not in (folder / "told").read_text()


def test_it_ends_with_a_page_and_pictures(folder: Path) -> None:
    page = (folder / "reports" / "loop.html").read_text()
    assert "<img" in page
    pictures = list((folder / "reports").glob("*.png"))
    assert pictures
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_the_checkout_stays_as_it_was(folder: Path, checkout: Path) -> None:
    assert (folder / "before").read_text() == status(checkout)


def dataset(folder: Path) -> int:
    """A shop's own files: 12 days, goods that are new every day, and rows that cannot be used.
    Returns the number of rows."""
    folder.mkdir()
    chance = random.Random(1)

    def moment(day: float) -> str:
        return time.strftime("%d.%m.%Y %H:%M:%S", time.gmtime(1_700_000_000 + round(day * 86_400)))

    since = [0.0] * 60 + [12.0 * n / 60 for n in range(60)]
    with (folder / "goods.csv").open("w", newline="") as file:
        write = csv.writer(file).writerow
        write(["sku", "name", "kinds", "since"])
        for n, day in enumerate(since):
            write([f"s{n}", f"Thing {n} of kind {n % 4}", f"k{n % 4}", moment(day)])
    rows: list[list[Any]] = []
    for user in range(150):
        for _ in range(30):
            day = round(chance.random() * 12, 3)
            open_items = [n for n in range(120) if since[n] <= day]
            liked = [n for n in open_items if n % 4 == user % 4]
            item = chance.choice(liked if chance.random() < 0.7 else open_items)
            rows.append([f" u{user} ", f"s{item}", "looked", "", moment(day)])
            if chance.random() < 0.3:
                rows.append([f"u{user}", f"s{item}", "bought", "9.5", moment(day)])
    end = ["u1", "s1", "rated", "4", moment(11.9)]
    bad = [(0, ""), (1, ""), (2, "glanced"), (3, "four"), (4, ""), (4, "yesterday")]
    rows += [[*end[:column], value, *end[column + 1 :]] for column, value in bad]
    rows += [end, end]
    with (folder / "log.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["who", "what", "did", "stars", "at"], *rows])
    return len(rows)


def test_a_dirty_dataset_in_a_format_of_its_own_is_replayed_whole(
    tmp_path: Path, checkout: Path
) -> None:
    rows = dataset(tmp_path / "shop")
    root = play(
        tmp_path / "run", checkout, "--data", str(tmp_path / "shop"), "--waves", "2",
        *settings(*SMALL_REPLAY),
    )  # fmt: skip
    report = json.loads((root / "reports" / "loop.json").read_text())
    told = (root / "told").read_text()
    assert report["confidence"] == 0.95
    assert len(report["releases"]) == 2
    assert [day["day"] for day in report["days"]] == [1, 2]
    replayed = sum(day["events"] for day in report["days"])
    line = next(line for line in told.splitlines() if " stored, " in line and "quarantined" in line)
    assert f"{rows} events and 120 items of files" in line
    assert f"{rows - replayed - DIRTY} and " in line
    assert f" {DIRTY} quarantined" in line
    for day in report["days"]:
        assert f"events: {day['events']} sent, {day['events']} stored" in told
        assert day["ndcg@10"]["served"] > 0
    assert "rejected" not in told
    assert told.count("item versions: ") >= 2
    assert report["pooled"]["ndcg@10"]["served"] > 0
    assert "Error logging to API" not in told


def test_data_that_no_loop_made_are_kept(tmp_path: Path) -> None:
    part = tmp_path / "workspace" / "data" / "log" / "events" / "dt=2024-01-01" / "part-0-1.parquet"
    assert loop.kept(tmp_path) is None
    part.parent.mkdir(parents=True)
    part.touch()
    assert "make clean" in (loop.kept(tmp_path) or "")
    (tmp_path / loop.LOCK).touch()
    assert loop.kept(tmp_path) is None


def test_the_clock_starts_with_the_process() -> None:
    code = (
        "import time; time.sleep(0.5); from flows.loop import command as loop; "
        "print(time.monotonic() - loop.began())"
    )
    age = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 0.5 < float(age.stdout) < 60
