"""A temporary folder for each process, for data that does not fit into memory.

The folder is removed when its process ends. A killed process cannot remove its folder, which may
hold tens of gigabytes, so the next process that needs a folder removes it.
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
#: Folders younger than this are kept: their process may not have locked them yet.
YOUNG_SECONDS: Final = 60.0


@cache
def scratch() -> Path:
    """Return this process's folder, which stays locked until the process ends."""
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
    """Remove the folders in `base` whose processes have ended."""
    for folder in base.glob(f"{PREFIX}*"):
        # The folder belongs to another user, or its owner is removing it now.
        with contextlib.suppress(OSError, Timeout):
            if folder.stat().st_mtime < time.time() - YOUNG_SECONDS:
                with FileLock(folder / LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
