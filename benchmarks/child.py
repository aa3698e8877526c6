"""Run measurements in separate processes, so that memory and kernels of one do not affect
another."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from base.errors import InputError

CHECKOUT: Final = Path(__file__).resolve().parent.parent


def measured(what: str, module: str, *arguments: str) -> dict[str, Any]:
    """The JSON object that `python -m module arguments` prints last.

    Raises InputError with `what` and the last lines if the process failed.
    """
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise InputError(
            f"{what} was ended by {name}: if the memory was full, ask for less at a time"
        )
    if done.returncode:
        raise InputError(f"{what} failed: " + "\n".join(done.stderr.splitlines()[-5:]))
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found
