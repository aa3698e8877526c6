"""Peak memory of this process and all its descendants."""

import contextlib
import threading
from typing import Final

import psutil  # type: ignore[import-untyped]

#: Finding out what is shared walks through all memory: it is done at a new high of this much more.
STEP: Final = 1.01


class PeakMemory:
    """Samples twice a second in the background until `stop`.

    On Linux a page that several processes share counts once (proportional set size), looked at
    whenever they hold more than ever before. Elsewhere it counts for each of them, and the figure
    is an upper bound.
    """

    def __init__(self) -> None:
        self.megabytes = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """The peak so far, MB."""
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
    """Bytes of memory that a process sees, shared or not; 0 for one that has ended."""
    with contextlib.suppress(psutil.Error):
        return int(process.memory_info().rss)
    return 0


def _held(process: psutil.Process) -> int:
    """Bytes of memory that a process holds, with its part of what it shares."""
    with contextlib.suppress(psutil.Error):
        memory = process.memory_full_info()
        return int(getattr(memory, "pss", memory.rss))
    return 0
