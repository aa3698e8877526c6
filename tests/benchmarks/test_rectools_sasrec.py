"""The RecTools contender: its events are counted, and it ranks as RecTools does."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import rectools_environment
from benchmarks.contest import run
from benchmarks.speed import judge_of
from tests.benchmarks.ring import learned, task

MODULE = "benchmarks.rectools_sasrec"

#: Runs where RecTools is: its own `recommend` is the oracle of what the benchmark judges.
ORACLE = """
import sys
import numpy as np
from pathlib import Path
from rectools.dataset import Dataset
from benchmarks.rectools_sasrec import interactions, rank, train
from benchmarks.task import Arrays, Task

task = Task.read(Path(sys.argv[1]))
arrays = Arrays.read(Path(task.arrays))
model = train(task, arrays)
users = np.arange(len(arrays.offsets) - 1)
dataset = Dataset.construct(interactions(arrays.offsets, arrays.items))
lists = model.recommend(users=users, dataset=dataset, k=10, filter_viewed=True)
scores = rank(model.lightning_model, arrays, task.length)
for user, expected in lists.groupby("user_id")["item_id"]:
    scores[user, arrays.items[arrays.offsets[user] : arrays.offsets[user + 1]]] = -np.inf
    best = np.argsort(-scores[user], kind="stable")[:10]
    assert best.tolist() == expected.tolist(), (user, best, expected)
assert len(lists) == 10 * len(users)
"""


@pytest.fixture
def python(checkout: Path) -> Path:
    home = checkout / ".rondo" / "rectools"
    if not rectools_environment.is_complete(home):
        pytest.skip("no RecTools: python -m benchmarks.rectools_environment installs it")
    return rectools_environment.interpreter(home)


def test_rectools_learns_the_ring_and_counts_its_real_events(
    ring: Path, tmp_path: Path, python: Path
) -> None:
    judge = judge_of(ring, tmp_path / "arrays.npz")
    ready = task(ring, tmp_path / "race")
    outcome = run(MODULE, ready, judge, 0.8, python)
    assert outcome.reached(0.8) == outcome.epochs[-1]
    assert outcome.epochs[0].tokens == learned(ring)
    assert set(outcome.model["versions"]) == {"rectools", "torch", "pytorch-lightning"}
    short = replace(task(ring, tmp_path / "round"), every=0, seconds=0.0)
    outcome = run(MODULE, short, judge, 0.8, python)
    assert [epoch.ndcg for epoch in outcome.epochs] == [None]
    assert outcome.epochs[0].tokens < learned(ring)


def test_what_is_judged_is_what_rectools_itself_recommends(
    ring: Path, tmp_path: Path, checkout: Path, python: Path
) -> None:
    judge_of(ring, tmp_path / "arrays.npz")
    ready = replace(task(ring, tmp_path / "round"), every=0, epochs=3)
    ready.write(tmp_path / "task.json")
    command = [str(python), "-c", ORACLE, str(tmp_path / "task.json")]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
