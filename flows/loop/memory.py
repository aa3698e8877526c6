"""Peak memory of this process and all its descendants."""

import contextlib
import threading

import psutil  # type: ignore[import-untyped]


class PeakMemory:
    """Samples twice a second in the background until `stop`.

    On Linux a page that several processes share counts once (proportional set size). Elsewhere it
    counts for each of them, and the figure is an upper bound.
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
        process = psutil.Process()
        while not self._done.wait(0.5):
            total = 0
            for member in (process, *process.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    total += _held(member)
            self.megabytes = max(self.megabytes, total / 1e6)


def _held(process: psutil.Process) -> int:
    """Bytes of memory that a process holds, its share of what it shares."""
    memory = process.memory_full_info()
    return int(getattr(memory, "pss", memory.rss))
