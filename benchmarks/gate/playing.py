"""Play the tasks of one or more banks in several processes. A killed benchmark goes on."""

import os
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Final

import numpy as np

from base import code
from benchmarks.gate.bank import Bank
from benchmarks.gate.looks import Stage
from benchmarks.gate.tasks import DAYS, TASKS, Arrays

#: The modules of `training.value` that played values depend on.
ESTIMATOR: Final = (
    "exposure", "exposures", "ordering", "paired", "position_bias", "reward_model",
)  # fmt: skip


@dataclass(frozen=True)
class Task:
    """One task of a bank. number: counts within its kind."""

    bank: Bank
    kind: str
    number: int
    clip: float
    code: str

    @property
    def path(self) -> Path:
        """Where its arrays are kept: beside others with the same estimator and clip."""
        folder = f"{self.code[:8]}-clip{self.clip:g}"
        name = f"{self.kind}-{DAYS[self.kind]}-{self.number:04}.npz"
        return self.bank.root / "played" / folder / name


def tasks(banks: Sequence[Bank], numbers: Mapping[str, int], clip: float) -> list[Task]:
    """All tasks, so that a part of them holds a part of every kind and of every bank.

    numbers: by kind, of all banks together; clip: of the gate.
    """
    estimator = code.digest([f"training/value/{name}.py" for name in ESTIMATOR])
    found = []
    for kind, count in numbers.items():
        for place in range(count):
            bank = banks[place % len(banks)]
            found.append(
                ((place + 0.5) / count, Task(bank, kind, place // len(banks), clip, estimator))
            )
    return [task for _, task in sorted(found, key=lambda pair: pair[0])]


def play_all(wanted: Sequence[Task], processes: int) -> None:
    """Play the tasks whose arrays are not there yet, and tell the time that is left."""
    missing = [task for task in wanted if not task.path.exists()]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} tasks are there", flush=True)
    if not missing:
        return
    began = time.monotonic()
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _one_thread)
    try:
        futures = {pool.submit(_play, task, os.getpid()): task for task in missing}
        for done, future in enumerate(as_completed(futures), start=1):
            task = futures[future]
            future.result()
            left = (time.monotonic() - began) / done * (len(missing) - done)
            told = f"{task.kind} {task.number} of seed {task.bank.seed}"
            print(f"{done:>5} of {len(missing)}  {told:<28}{left / 60:7.1f} min left", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)


def read(wanted: Sequence[Task], kind: str) -> Iterator[tuple[Task, Arrays]]:
    """The arrays of those tasks of a kind that were played."""
    for task in wanted:
        if task.kind == kind and task.path.exists():
            with np.load(task.path, allow_pickle=False) as file:
                yield task, {name: file[name] for name in file.files}


def _play(task: Task, parent: int) -> None:
    if os.getppid() != parent:
        sys.exit("the benchmark has ended")
    play(task)


def play(task: Task) -> None:
    """Play a task and keep its arrays."""
    arrays = TASKS[task.kind](_stage(task.bank.root, task.bank.seed), task.number, task.clip)
    task.path.parent.mkdir(parents=True, exist_ok=True)
    temporary = task.path.with_name(f".{task.path.stem}-{os.getpid()}.npz")
    np.savez_compressed(temporary, **arrays)
    temporary.replace(task.path)


@lru_cache(maxsize=3)
def _stage(root: Path, seed: int) -> Stage:
    # What differs in the world was needed to build the bank.
    return Stage(Bank(root, seed, {}))


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)
