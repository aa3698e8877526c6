"""Run a pipeline stage as a child of its flow: `python -m base.stage MODULE ARGUMENTS…`.

Makes sure that a stage runs only once at a time, ends when its flow ends or its time limit passes,
and prints to a log file if the flow asks for one. Import nothing heavy here: all this has to work
before the stage's own imports, which take seconds.
"""

import ctypes
import os
import runpy
import signal
import sys
import threading
import time
from pathlib import Path

from filelock import FileLock, Timeout

from base import warm_client
from base.errors import InputError

LOCKS = Path(".dvc/tmp")
LOCK_SECONDS = 30.0
TIME_LIMIT_VARIABLE = "RONDO_STAGE_TIME_LIMIT"
#: Process id of the flow that runs a stage. A stage that starts after the flow has died sees it.
PARENT_VARIABLE = "RONDO_STAGE_PARENT"
#: Folder of the log files of stages, `<stage>.log`. If unset, stages print to the terminal.
LOGS_VARIABLE = "RONDO_STAGE_LOGS"


def main() -> None:
    """Run `MODULE` as `__main__` in the warm process at `RONDO_STAGE_WARM` if it can, else in
    this process."""
    module = sys.argv[1]
    del sys.argv[1]
    if LOGS_VARIABLE in os.environ:
        _print_to(log_file(Path(os.environ[LOGS_VARIABLE]), os.environ.get("DVC_STAGE", module)))
    if path := os.environ.pop(warm_client.WAKE_VARIABLE, None):
        warm_client.wake(path)
    if path := os.environ.pop(warm_client.VARIABLE, None):
        follow_parent(time_limit())
        status = warm_client.ask(path, module, sys.argv[1:])
        if status is not None:
            sys.exit(status)
    run(module)


def run(module: str) -> None:
    """Run `module` as `__main__` while holding its lock.

    Exits with status 1 and a one-line message for input that cannot be used. Waits up to 30 s for
    the lock, since an earlier run may still be ending.
    """
    follow_parent(time_limit())
    LOCKS.mkdir(parents=True, exist_ok=True)
    lock = FileLock(LOCKS / f"{module}.lock")
    try:
        lock.acquire(timeout=LOCK_SECONDS)
    except Timeout:
        sys.exit(f"{module} is already running in {Path.cwd()}")
    with lock:
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except InputError as error:
            sys.exit(f"{module}: {error}")


def log_file(folder: Path, stage: str) -> Path:
    """The file that a stage prints to when a flow runs it."""
    return folder / f"{stage}.log"


def time_limit() -> float:
    """Seconds that a stage may take: `RONDO_STAGE_TIME_LIMIT`, by default an hour."""
    return float(os.environ.get(TIME_LIMIT_VARIABLE, "3600"))


def follow_parent(time_limit: float = float("inf")) -> None:
    """Exit this process when its parent exits, or after `time_limit` seconds."""
    parent = die_with_parent()
    threading.Thread(target=_watch, args=(parent, time_limit), daemon=True).start()


def die_with_parent() -> int:
    """Have the kernel, where it can, end this process when its parent ends.

    The kernel's signal works even while a C extension holds the interpreter. Returns the parent's
    process id. Exits at once if the parent has ended already.
    """
    # Remove the variable: the parent of a process that this stage starts (such as one per device)
    # is this stage, not the flow.
    parent = int(os.environ.pop(PARENT_VARIABLE, os.getppid()))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    return parent


def _watch(parent: int, time_limit: float) -> None:
    deadline = time.monotonic() + time_limit
    while os.getppid() == parent:
        if time.monotonic() > deadline:
            print(
                f"stage stopped: over its time limit of {time_limit:.0f} s, which "
                f"{TIME_LIMIT_VARIABLE} sets",
                file=sys.stderr,
            )
            break
        time.sleep(0.5)
    os._exit(1)


def _print_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)


if __name__ == "__main__":
    main()
