"""Run one contender of the speed benchmark, judge its rankings and stop it in time."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from base.arrays import Scores
from base.errors import InputError
from benchmarks.child import CHECKOUT
from benchmarks.task import Task

WALL_FACTOR: Final = 3
WALL_EXTRA: Final = 600.0
"""A process is killed after WALL_FACTOR × its training seconds plus this many seconds."""

Judge = Callable[[Scores], float]


class ContenderFailed(InputError):
    """A contender failed. The message holds its last lines."""


@dataclass(frozen=True)
class ContestEpoch:
    """Training seconds and tokens since the start, and the metric if the epoch was ranked."""

    number: int
    seconds: float
    tokens: int
    ndcg: float | None


@dataclass
class ContestOutcome:
    """What a contender's process reported.

    model: `parameters`, `flops_per_token`, `precision`, `versions`; peak_bytes: peak memory.
    """

    model: dict[str, Any] = field(default_factory=dict)
    epochs: list[ContestEpoch] = field(default_factory=list)
    peak_bytes: int = 0

    @property
    def tokens_per_second(self) -> float:
        """Tokens per second over all training."""
        return self.epochs[-1].tokens / self.epochs[-1].seconds

    def reached(self, target: float) -> ContestEpoch | None:
        """The first ranked epoch at or above `target`."""
        return next((e for e in self.epochs if e.ndcg is not None and e.ndcg >= target), None)


def run(
    module: str,
    task: Task,
    judge: Judge,
    target: float,
    python: Path | None = None,
    on_epoch: Callable[[ContestEpoch], None] = lambda _: None,
) -> ContestOutcome:
    """Start `module` on `task`, judge each ranking, and stop at `target` or at the task's limits.

    python: interpreter, by default this one. A process that exceeds its limits is killed, and its
    reports so far are kept. Raises ContenderFailed if it fails or reports no epoch.
    """
    folder = Path(task.folder)
    task.write(folder / "task.json")
    log = folder / "stderr.txt"
    outcome = ContestOutcome()
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [str(python or sys.executable), "-m", module, str(folder / "task.json")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=CHECKOUT,
            env=os.environ | {"OMP_NUM_THREADS": str(task.threads)},
        ) as process,
        _killed_after(process, WALL_FACTOR * task.seconds + WALL_EXTRA) as killed,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            outcome.peak_bytes = max(outcome.peak_bytes, told["peak_bytes"])
            outcome.model = told.get("model", outcome.model)
            if "epoch" not in told:
                continue
            ndcg = judge(np.load(told["scores"])) if "scores" in told else told.get("ndcg")
            epoch = ContestEpoch(told["epoch"], told["seconds"], told["tokens"], ndcg)
            outcome.epochs.append(epoch)
            on_epoch(epoch)
            if "scores" in told:
                answer = b"stop\n" if outcome.reached(target) else b"on\n"
                with contextlib.suppress(BrokenPipeError):  # the process ended; its status says why
                    os.write(process.stdin.fileno(), answer)
    last = "\n".join(log.read_text().strip().splitlines()[-5:])
    if process.returncode and not killed.is_set():
        raise ContenderFailed(f"{module} ended with {process.returncode}:\n{last}")
    if not outcome.epochs:
        raise ContenderFailed(f"{module} trained nothing before its time was over:\n{last}")
    return outcome


@contextlib.contextmanager
def _killed_after(process: "subprocess.Popen[str]", seconds: float) -> Iterator[threading.Event]:
    """Kill the process after `seconds` (and set the event), or if the block raises."""
    killed = threading.Event()

    def kill() -> None:
        killed.set()
        process.kill()

    limit = threading.Timer(seconds, kill)
    limit.start()
    try:
        yield killed
        process.wait()  # the limit applies until the process ends
    except BaseException:
        process.kill()
        raise
    finally:
        limit.cancel()
