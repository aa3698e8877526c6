"""Run trials one after another in this process, or in parallel in other processes.

Processes are used instead of threads, because torch, Lightning and LightGBM hold global state, and
because a trial that is killed for its memory use then ends alone.
"""

import multiprocessing
import os
import signal
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Protocol

from base.errors import InputError
from base.stage import follow_parent
from training.tuning.objective import Objective, Outcome, Task, objective
from training.tuning.space import Values


@dataclass(frozen=True)
class Failure:
    """The reason, in one line, why a trial has no value."""

    message: str


@dataclass(frozen=True)
class Lost:
    """The trial's process was killed."""


@dataclass(frozen=True)
class Unusable:
    """The data cannot be read, so no trial can run."""

    message: str


Result = Outcome | Failure | Lost


class Workers(Protocol):
    """Takes as many trials as it has places, and returns their results in any order."""

    @property
    def free(self) -> int: ...

    def start(self, number: int, values: Values, name: str) -> None: ...

    def wait(self) -> tuple[int, Result]: ...

    def close(self) -> None: ...


class Here:
    """Runs trials in this process, without a second import of torch, with progress on the
    terminal."""

    def __init__(self, task: Task) -> None:
        self._run = objective(task)
        self._next: tuple[int, Values, str] | None = None

    @property
    def free(self) -> int:
        return int(self._next is None)

    def start(self, number: int, values: Values, name: str) -> None:
        self._next = number, values, name

    def wait(self) -> tuple[int, Result]:
        """Run the trial.

        Only its own errors become a result; others, such as Ctrl-C, are raised.
        """
        assert self._next is not None
        (number, values, name), self._next = self._next, None
        return number, attempt(self._run, values, name)

    def close(self) -> None:
        pass


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection


@dataclass
class Processes:
    """`jobs` processes that start when needed and end with this one.

    They print to files in `logs`.
    """

    task: Task
    jobs: int
    logs: Path
    _idle: list[_Worker] = field(default_factory=list)
    _busy: dict[Connection, tuple[_Worker, int]] = field(default_factory=dict)

    @property
    def free(self) -> int:
        return self.jobs - len(self._busy)

    def start(self, number: int, values: Values, name: str) -> None:
        worker = self._idle.pop() if self._idle else self._spawn()
        self._busy[worker.connection] = worker, number
        worker.connection.send((values, name))

    def wait(self) -> tuple[int, Result]:
        """Wait for the next result. Raises InputError if the data are unusable."""
        ready = wait(list(self._busy))[0]
        assert isinstance(ready, Connection)
        worker, number = self._busy.pop(ready)
        try:
            result = ready.recv()
        except (EOFError, ConnectionResetError):
            ready.close()
            worker.process.join()
            return number, Lost()
        self._idle.append(worker)
        if isinstance(result, Unusable):
            raise InputError(result.message)
        return number, result

    def close(self) -> None:
        for worker, _ in self._busy.values():
            worker.process.kill()
        for worker in [*self._idle, *(worker for worker, _ in self._busy.values())]:
            worker.connection.close()
            worker.process.join()
            worker.process.close()

    def _spawn(self) -> _Worker:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        self.logs.mkdir(parents=True, exist_ok=True)
        process = context.Process(target=_work, args=(self.task, theirs, self.logs))
        process.start()
        theirs.close()
        return _Worker(process, ours)


def attempt(run: Objective, values: Values, name: str) -> Outcome | Failure:
    """Run one trial. Any error counts as a failure of this trial, so that a long search goes on."""
    try:
        return run(values, name)
    except InputError as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(f"{type(error).__name__}: {' '.join(str(error).split())}")


def _work(task: Task, connection: Connection, logs: Path) -> None:
    follow_parent(float("inf"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the main process
    log = os.open(logs / f"worker-{os.getpid()}.log", os.O_WRONLY | os.O_CREAT, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    run: Objective | None = None
    while True:
        try:
            values, name = connection.recv()
        except EOFError:
            return
        try:
            run = run or objective(task)
        except InputError as error:
            connection.send(Unusable(str(error)))
            continue
        connection.send(attempt(run, values, name))
