"""Where this process puts what does not fit into memory, or is needed for a moment only.

A folder for each process, gone when it ends. One that is killed cannot remove its own, which may be
tens of gigabytes: the next process that needs a folder does it.
"""

import atexit
import contextlib
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

PREFIX: Final = "rondo-scratch-"
LOCK: Final = "lock"
#: A folder this young may belong to a process that has yet to lock it.
YOUNG_SECONDS: Final = 60.0


@cache
def scratch() -> Path:
    """This process's folder, locked for as long as it lives."""
    base = Path(tempfile.gettempdir())
    remove_left(base)
    own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    lock = FileLock(own / LOCK)
    lock.acquire()

    def remove() -> None:
        lock.release()
        shutil.rmtree(own, ignore_errors=True)

    atexit.register(remove)
    return own


def remove_left(base: Path) -> None:
    """Remove the folders in `base` of processes that are gone."""
    for folder in base.glob(f"{PREFIX}*"):
        # Another user's, or one that its owner is removing.
        with contextlib.suppress(OSError, Timeout):
            if folder.stat().st_mtime < time.time() - YOUNG_SECONDS:
                with FileLock(folder / LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
