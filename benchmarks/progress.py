"""How a contender tells what it did, and is told to stop. Imports no more than numpy.

One JSON object a line on the standard output; after each epoch that scores are handed in of, one
line is awaited on the standard input: "stop" or "on".
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from base.arrays import Scores
from benchmarks.task import WARM, Task


class Progress:
    """Counts a contender's training seconds and tokens; the clock stands while it is judged.

    A token is a real event that a step learns to predict.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.steps = 0
        self.epochs = 0
        self.seconds = 0.0
        self.tokens = 0
        self.began = 0.0
        # From now on for these lines alone: libraries print to the standard output as well.
        self.channel = os.dup(1)
        os.dup2(2, 1)

    def model(self, parameters: int, flops: float, precision: str, *packages: str) -> None:
        """Tell what is trained: weights, `flops_per_token`, number format, what versions matter."""
        versions = {package: version(package) for package in packages}
        self.tell(
            model={
                "parameters": parameters,
                "flops_per_token": flops,
                "precision": precision,
                "versions": versions,
            }
        )

    def start(self) -> None:
        """Training goes on: run the clock."""
        self.began = time.perf_counter()

    def step(self, tokens: int) -> bool:
        """A step has learned from so many tokens; true where a round's time is over."""
        self.steps += 1
        if not self.task.every and self.steps <= WARM:
            self.seconds = 0.0
            self.start()
            return False
        self.tokens += tokens
        elapsed = self.seconds + time.perf_counter() - self.began
        return not self.task.every and elapsed >= self.task.seconds

    def epoch(self, scores: Callable[[], Scores]) -> bool:
        """An epoch (or a round) is over; true: stop. scores: float32 [asked, catalogue]."""
        self.seconds += time.perf_counter() - self.began
        self.epochs += 1
        over = self.epochs >= self.task.epochs or self.seconds >= self.task.seconds
        if self.task.every and (over or self.epochs % self.task.every == 0):
            path = Path(self.task.folder) / "scores.npy"
            np.save(path, scores())
            self.tell(**self.totals(), scores=str(path))
            over |= sys.stdin.readline().strip() != "on"
        else:
            self.tell(**self.totals())
        self.start()
        return over

    def totals(self) -> dict[str, Any]:
        """Since the start: `epoch`, `seconds`, `tokens`."""
        return {"epoch": self.epochs, "seconds": self.seconds, "tokens": self.tokens}

    def tell(self, **values: Any) -> None:
        """One line to whoever started this process."""
        line = json.dumps(values | {"peak_bytes": peak_bytes()}) + "\n"
        os.write(self.channel, line.encode())


def peak_bytes() -> int:
    """Most memory this process has held.

    From /proc where there is one: `getrusage` also knows the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(found["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
