"""The scale benchmark in small: the log it makes, the points it measures, the files it leaves."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import made_log
from features.schema import SECOND
from training.transformer.data import Tokens

ITEMS = 50


@pytest.mark.parametrize("chunk", [100, 10**6])
def test_a_made_log_is_in_order_and_has_the_size_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(made_log, "CHUNK_EVENTS", chunk)
    made_log.write(tmp_path, 20_000, ITEMS, seed=1)
    log = Tokens.open(tmp_path)
    assert len(log) == 20_000
    lengths = np.diff(log.offsets)
    assert 80 < lengths.mean() < 120
    steps = np.diff(log.timestamps)
    steps[log.offsets[1:-1] - 1] = 0
    assert (steps >= 0).all()
    assert (log.timestamps % SECOND == 0).all()
    assert log.wanted.all()


def test_items_of_a_made_log_are_as_popular_as_zipf_says(tmp_path: Path) -> None:
    made_log.write(tmp_path, 50_000, ITEMS, seed=1)
    counts = np.sort(Tokens.open(tmp_path).counts(ITEMS))[::-1]
    shares = counts / counts.sum()
    place = np.arange(1, ITEMS + 1)
    expected = np.log((place + 1) / place) / np.log(ITEMS + 1)
    np.testing.assert_allclose(shares, expected, rtol=0.15)


def test_a_made_tail_asks_for_what_follows_each_history() -> None:
    tail = made_log.tail(20, ITEMS, seed=1)
    assert len(tail) == len(tail.targets) == len(tail.histories) == 20
    last = tail.histories.timestamps[tail.histories.offsets[1:] - 1]
    assert (tail.timestamps >= last).all()


@pytest.mark.slow
def test_points_are_measured_and_reported_as_they_are_done(tmp_path: Path, checkout: Path) -> None:
    command = [
        sys.executable, "-m", "benchmarks.scale", "--events", "4e3", "--catalogues", "50",
        "--at-catalogue", "90", "--at-events", "2e3", "--steps", "3", "--reports", str(tmp_path),
        "--set", "batch_tokens=512", "--set", "negatives=40",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True)
    report = json.loads((tmp_path / "bench-scale.json").read_text())
    assert [(p["series"], p["events"], p["catalogue"]) for p in report["points"]] == [
        ("events", 4000, 90),
        ("catalogue", 2000, 50),
        ("both", 4000, 50),
    ]
    assert report["fit"]["negatives"] == 40
    for point in report["points"]:
        assert point["draws"] == 40
        assert point["items_with_id"] <= point["catalogue"]
        assert point["steps"] == 3
        assert point["events_per_second"] > 0
        assert point["peak_mb"] > 100
    assert (tmp_path / "bench-scale.png").read_bytes().startswith(b"\x89PNG")
    assert len(done.stdout.splitlines()) == 1 + 3


def test_a_wrong_setting_ends_in_one_line(tmp_path: Path, checkout: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.scale", "--set", "no_such=1"]
    command += ["--reports", str(tmp_path)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("bench-scale: unknown key 'fit.no_such'")
    assert done.stderr.count("\n") == 1
