"""What every pipeline stage needs: one run of it at a time, no orphans, outputs replaced whole."""

import ctypes
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

LOCKS = Path(".dvc/tmp")
TIME_LIMIT_VARIABLE = "RONDO_STAGE_TIME_LIMIT"
#: Process id of the flow that runs the stages: a parent that died during our imports is told by it.
PARENT_VARIABLE = "RONDO_STAGE_PARENT"


class StageBusy(RuntimeError):
    """Another process is running this stage in this workspace."""


@contextmanager
def stage_guard(lock_path: Path | None = None) -> Iterator[None]:
    """Hold the lock of the running stage; exit when the parent dies or the time limit passes.

    A killed flow must not leave a stage behind that shares its output folder with a rerun. Waits
    up to 30 s for a dying predecessor, then raises StageBusy. The limit is
    `RONDO_STAGE_TIME_LIMIT` in seconds (default 3600).
    """
    follow_parent(float(os.environ.get(TIME_LIMIT_VARIABLE, "3600")))
    if lock_path is None:
        spec = sys.modules["__main__"].__spec__
        lock_path = LOCKS / f"{spec.name if spec else 'stage'}.lock"
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(lock_path, timeout=30):
            yield
    except Timeout:
        raise StageBusy(f"{lock_path.stem} is already running in {Path.cwd()}") from None


def follow_parent(time_limit: float) -> None:
    """Exit this process when its parent does, or after `time_limit` seconds."""
    # Ours alone: what a stage starts itself, such as one process a device, has the stage as parent.
    parent = int(os.environ.pop(PARENT_VARIABLE, os.getppid()))
    if os.getppid() != parent:
        os._exit(1)
    if sys.platform == "linux":
        # The kernel's own signal reaches us also while a C extension holds the interpreter.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    threading.Thread(target=_watch, args=(parent, time_limit), daemon=True).start()


def _watch(parent: int, time_limit: float) -> None:
    deadline = time.monotonic() + time_limit
    while os.getppid() == parent:
        if time.monotonic() > deadline:
            print(f"stage stopped: over its time limit of {time_limit:.0f} s", file=sys.stderr)
            break
        time.sleep(0.5)
    os._exit(1)


@contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """A temporary sibling to write into, which takes `path`'s place when the block succeeds."""
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    yield temporary
    shutil.rmtree(path, ignore_errors=True)
    temporary.rename(path)
