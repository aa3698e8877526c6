"""Numbers for the release gates, measured on a packaged release in a fresh process."""

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final

#: The code that this process runs, wherever its working directory is by then.
_CHECKOUT: Final = Path(__file__).resolve().parent.parent


class FreshProcess:
    """A process that loads a release from scratch. Use it in a `with` block: it ends with the
    block.

    It takes seconds to import the serving code. Call `start` early to let it import before there is
    a release.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "FreshProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def start(self) -> None:
        """Start the process and its imports. A second call changes nothing."""
        if self._process is None:
            # Errors of a release that does not load are dropped, because the gate reports the
            # failure itself.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serving.check", "-", "--json"],
                cwd=_CHECKOUT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )

    def measure(self, folder: Path, timeout: float = 120.0) -> dict[str, float]:
        """The numbers of `serving.check.check`, or none if the release does not load.

        The gate holds if numbers are missing. Can be called once. There is no check for pickles: a
        release that holds one does not verify (`release.SUFFIXES`).
        """
        self.start()
        assert self._process is not None
        try:
            output, _ = self._process.communicate(f"{folder.absolute()}\n", timeout)
            numbers: dict[str, float] = json.loads(output)
        except (subprocess.TimeoutExpired, json.JSONDecodeError):
            return {}
        return numbers
