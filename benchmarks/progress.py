"""How a contender reports its progress and is told to stop. Imports only numpy.

Writes one JSON object per line to standard output. After each epoch with scores, it waits for one
line on standard input: "stop" or "on".
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
    """Counts a contender's training seconds and tokens. The clock stops while it is judged.

    A token is a real event that a step learns to predict.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.steps = 0
        self.epochs = 0
        self.seconds = 0.0
        self.tokens = 0
        self.began = 0.0
        # Reserve the real standard output for these lines, because libraries print to standard
        # output too.
        self.channel = os.dup(1)
        os.dup2(2, 1)

    def model(self, parameters: int, flops: float, precision: str, *packages: str) -> None:
        """Report the model: number of weights, `flops_per_token`, number format, versions of
        `packages`."""
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
        """Start or continue the clock."""
        self.began = time.perf_counter()

    def step(self, tokens: int) -> bool:
        """Count a step that learned from `tokens` tokens.

        Returns true if a round's time is over.
        """
        self.steps += 1
        if not self.task.every and self.steps <= WARM:
            self.seconds = 0.0
            self.start()
            return False
        self.tokens += tokens
        elapsed = self.seconds + time.perf_counter() - self.began
        return not self.task.every and elapsed >= self.task.seconds

    def epoch(self, scores: Callable[[], Scores]) -> bool:
        """Report the end of an epoch or a round. Returns true to stop.

        scores: gives float32 [asked, catalogue].
        """
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
        """Values since the start: `epoch`, `seconds`, `tokens`."""
        return {"epoch": self.epochs, "seconds": self.seconds, "tokens": self.tokens}

    def tell(self, **values: Any) -> None:
        """Write one line to the process that started this one."""
        line = json.dumps(values | {"peak_bytes": peak_bytes()}) + "\n"
        os.write(self.channel, line.encode())


def peak_bytes() -> int:
    """Peak memory of this process.

    Read from /proc if possible, because `getrusage` includes the process that started this one.
    """
    status = Path("/proc/self/status")
    if status.exists():
        found = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(found["VmHWM"].split()[0]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
