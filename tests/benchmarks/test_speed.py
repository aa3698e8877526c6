"""The speed benchmark at a small size: real contenders on data that all of them can learn."""

import json
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from base.errors import InputError
from benchmarks import contest
from benchmarks.contest import ContenderFailed, ContestEpoch, run
from benchmarks.speed import COMMON, judge_of, own_settings
from tests.benchmarks.ring import learned, task


def benchmark(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.speed", *arguments]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_rondo_and_the_padded_baseline_are_measured_side_by_side(
    ring: Path, tmp_path: Path, checkout: Path
) -> None:
    done = benchmark(
        checkout, "--data", str(ring), "--length", "10", "--target", "0.8", "--rounds", "1",
        "--round-seconds", "0.5", "--minutes", "1",
        "--contenders", "rondo", "rondo_float32", "padded", "--dropout", "0",
        "--set", "batch_tokens=256", "--set", "max_epochs=4",
        "--reports", str(tmp_path / "reports"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "reports" / "bench-speed.json").read_text())
    for key in ("tokens_per_second", "seconds_to_target"):
        assert set(found[key]) == {"rondo", "rondo_float32", "padded", "rectools"}
        assert found[key]["rectools"] is None
        assert min(found[key][name] for name in ("rondo", "rondo_float32", "padded")) > 0
    assert found["ratio_tokens"] is None
    assert found["ratio_seconds_padded"] > 0
    assert list(found["matmul_flops_per_second"]) == ["float32", "bfloat16"]
    for own in found["contenders"].values():
        assert 0 < own["share_of_matmul_rate"] < 1
        assert 10**8 < own["peak_bytes"] < 10**10
        assert own["epochs"][-1]["ndcg"] >= 0.8
        assert len(own["rounds_tokens_per_second"]) == 1
    assert "ratio_tokens: unknown" in done.stdout


def test_the_padded_baseline_is_ranked_every_so_often_and_stops_at_its_limit(
    ring: Path, tmp_path: Path
) -> None:
    judge = judge_of(ring, tmp_path / "arrays.npz")
    told: list[ContestEpoch] = []
    ready = replace(task(ring, tmp_path / "race"), every=2, epochs=5)
    outcome = run("benchmarks.padded", ready, judge, 2.0, on_epoch=told.append)
    assert told == outcome.epochs
    assert [epoch.number for epoch in told] == [1, 2, 3, 4, 5]
    assert [epoch.ndcg is None for epoch in told] == [True, False, True, False, False]
    assert [epoch.tokens for epoch in told] == [learned(ring) * n for n in range(1, 6)]
    assert all(a.seconds < b.seconds for a, b in pairwise(told))


@pytest.mark.parametrize("contender", ["padded", "rondo"])
def test_a_round_counts_no_step_before_the_clock_runs(
    ring: Path, tmp_path: Path, contender: str
) -> None:
    judge = judge_of(ring, tmp_path / "arrays.npz")
    ready = replace(task(ring, tmp_path / "round"), every=0, seconds=0.0, batch_users=2)
    fit = ready.fit | {"batch_tokens": 64}
    outcome = run(f"benchmarks.{contender}", replace(ready, fit=fit), judge, 2.0)
    assert 0 < outcome.epochs[-1].tokens <= 64  # of the first step on the clock alone


def test_a_contender_that_fails_says_why(ring: Path, tmp_path: Path) -> None:
    judge = judge_of(ring, tmp_path / "arrays.npz")
    ready = task(tmp_path / "absent.txt", tmp_path / "race")
    with pytest.raises(ContenderFailed, match="no such file"):
        run("benchmarks.rondo", ready, judge, 0.8)


def test_a_contender_that_hangs_is_killed(
    ring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest, "WALL_EXTRA", 0.1)
    judge = judge_of(ring, tmp_path / "arrays.npz")
    ready = replace(task(ring, tmp_path / "race"), seconds=0.0)
    with pytest.raises(ContenderFailed, match="trained nothing before its time was over"):
        run("benchmarks.padded", ready, judge, 0.8)


def test_what_all_contenders_share_cannot_be_set_for_one(checkout: Path) -> None:
    for key in COMMON:
        with pytest.raises(InputError, match=key):
            own_settings([f"{key}=1"], 10)
    done = benchmark(checkout, "--data", "absent", "--set", "dropout=2")
    assert done.returncode == 1
    assert done.stderr.startswith("bench-speed: 'fit.dropout'")
    assert done.stderr.count("\n") == 1
