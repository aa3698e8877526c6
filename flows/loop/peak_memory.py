"""Measure the peak memory of this process and all its descendants."""

import contextlib
import threading
from typing import Final

import psutil  # type: ignore[import-untyped]

#: Measuring shared memory is slow, so it is done only when the simple sum exceeds its maximum by
#: this factor.
STEP: Final = 1.01


class PeakMemory:
    """Samples memory twice a second in the background until `stop`.

    On Linux, a page shared by several processes counts once (proportional set size). This is
    measured whenever they hold more than before. On other systems it counts for each process, so
    the figure is an upper bound.
    """

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """Stop, and return the peak in MB."""
        self._done.set()
        self._thread.join()
        return self.megabytes

    def _watch(self) -> None:
        process, most = psutil.Process(), 0
        while not self._done.wait(0.5):
            members = [process, *process.children(recursive=True)]
            resident = sum(map(_resident, members))
            if resident > most * STEP:
                most = resident
                self.megabytes = max(self.megabytes, sum(map(_held, members)) / 1e6)


def _resident(process: psutil.Process) -> int:
    """Bytes of memory of a process, including all shared memory; 0 if it has ended."""
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _held(process: psutil.Process) -> int:
    """Bytes of memory of a process, including its part of shared memory."""
    with contextlib.suppress(psutil.Error):
        memory = process.memory_full_info()
        return int(getattr(memory, "pss", memory.rss))
    return 0
