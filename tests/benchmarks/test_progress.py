"""The clock of a round does not count the first steps."""

import os
from pathlib import Path

import pytest

from benchmarks.progress import Progress
from benchmarks.task import WARM, Task
from tests.benchmarks.clock import Clock


def test_a_round_counts_steps_and_seconds_after_the_first_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "dup2", lambda *_: None)  # the standard output stays the tests'
    clock = Clock(monkeypatch)
    progress = Progress(Task("", "", str(Path()), 10, 1, 1, 6.0, {}, every=0))
    progress.start()
    over = []
    for step in range(1, WARM + 4):
        clock.move(50.0 if step <= WARM else 2.0)
        over.append(progress.step(100))
    assert over == [*[False] * (WARM + 2), True]
    assert progress.tokens == 300
    told: list[dict[str, float]] = []
    monkeypatch.setattr(progress, "tell", lambda **values: told.append(values))
    assert progress.epoch(lambda: pytest.fail("a round is not ranked"))
    assert told == [{"epoch": 1, "seconds": 6.0, "tokens": 300}]
