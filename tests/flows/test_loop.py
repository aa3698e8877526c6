"""The whole job on a small world: two days of users over HTTP, a retrain after each."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Path:
    """Where the job has left its state (`home`) and its reports."""
    root = tmp_path_factory.mktemp("loop")
    (root / "before").write_text(status(checkout))
    names = ("BENTOML_HOME", "PREFECT_HOME", "DVC_SITE_CACHE_DIR")
    environment = {k: v for k, v in os.environ.items() if k not in names}
    command = [sys.executable, "-m", "flows.loop", "--days", "2", "--people", "100"]
    command += ["--reports", str(root / "reports")]
    result = subprocess.run(
        [*command, *(part for setting in SMALL for part in ("--set", setting))],
        cwd=checkout,
        env=environment | {"RONDO_HOME": str(root / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return root


def test_the_report_holds_what_it_promises(folder: Path) -> None:
    report = json.loads((folder / "reports" / "loop.json").read_text())
    assert report["seed"] == 1
    assert report["control"] is False
    assert report["wall_seconds"] > 0
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
        assert reward["oracle"] > max(reward[s] for s in ("served", "frozen", "popularity")) > 0
        for name in DIFFERENCES:
            assert reward[name]["low"] <= reward[name]["mean"] <= reward[name]["high"]
    assert {"world", "retrain", "users", "value"} <= set(report["steps"])


def test_it_ends_with_a_page_and_pictures(folder: Path) -> None:
    page = (folder / "reports" / "loop.html").read_text()
    assert "<img" in page
    pictures = list((folder / "reports").glob("*.png"))
    assert pictures
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_the_checkout_stays_as_it_was(folder: Path, checkout: Path) -> None:
    assert (folder / "before").read_text() == status(checkout)
