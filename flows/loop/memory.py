"""Peak memory of this process and all its descendants."""

import threading

import psutil  # type: ignore[import-untyped]


class PeakMemory:
    """Samples twice a second in the background until `stop`. Shared pages count for each process,
    so the figure is an upper bound."""

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
                try:
                    total += member.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.megabytes = max(self.megabytes, total / 1e6)
