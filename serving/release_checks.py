"""Release gates: plain numbers about a packaged release, measured in a fresh process."""

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final

#: The code that this process runs, wherever its working directory is by then.
_CHECKOUT: Final = Path(__file__).resolve().parent.parent


class FreshProcess:
    """A process that loads a release from nothing, for `with`: it ends with the block.

    It takes seconds to import what serves. `start` has it do so ahead, before there is a release.
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
        """Begin to import; a second time changes nothing."""
        if self._process is None:
            # Its error output is that of a release that does not load: the gate says that itself.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "serving.check", "-", "--json"],
                cwd=_CHECKOUT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )

    def measure(self, folder: Path, timeout: float = 120.0) -> dict[str, float]:
        """The numbers of `serving.check.check`; none of a release that does not load: missing
        evidence means hold.

        It can be called once. A release cannot hold a pickle (`release.SUFFIXES`), or it would not
        verify.
        """
        self.start()
        assert self._process is not None
        try:
            output, _ = self._process.communicate(f"{folder.absolute()}\n", timeout)
            numbers: dict[str, float] = json.loads(output)
        except (subprocess.TimeoutExpired, json.JSONDecodeError):
            return {}
        return numbers
