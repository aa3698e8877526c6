"""A task on the small file `ring` of conftest.py, and what is in it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

from benchmarks.task import Task

LENGTH = 10
FIT = {"size": "tiny", "dropout": 0.0, "id_dropout": 0.0, "batch_tokens": 256, "max_epochs": 4}


def task(ring: Path, folder: Path) -> Task:
    folder.mkdir()
    arrays = str(folder.parent / "arrays.npz")
    task = Task(str(ring), arrays, str(folder), LENGTH, 2, 40, 60.0, FIT)
    return replace(task, dropout=0.0, batch_users=8, learning_rate=5e-3)


def learned(ring: Path) -> int:
    """The number of events to learn from in the newest LENGTH of each history, without its last
    two."""
    counts = Counter(line.split()[0] for line in ring.read_text().splitlines())
    return sum(min(count - 2 - 1, LENGTH) for count in counts.values())
