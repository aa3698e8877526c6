"""An environment for RecTools, created once, because its requirements conflict with Rondo's."""

import subprocess
import sys
from pathlib import Path
from typing import Final

from base.errors import InputError
from benchmarks.child import CHECKOUT

CONSTRAINTS: Final = Path(__file__).with_name("rectools-constraints.txt")
REQUIREMENT: Final = "rectools[torch]"
INSTALLED: Final = "installed.txt"
"""The constraints used for an environment, written when it is complete."""


class EnvironmentFailed(InputError):
    """RecTools could not be installed. The message says at which step."""


def is_complete(folder: Path) -> bool:
    """Whether `folder` holds a complete environment with these versions."""
    marker = folder / INSTALLED
    return marker.exists() and marker.read_text() == CONSTRAINTS.read_text()


def interpreter(folder: Path) -> Path:
    """The Python of the environment in `folder`."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def make(folder: Path) -> Path:
    """Create the environment in `folder` if needed, and return its interpreter.

    Raises EnvironmentFailed if it cannot be installed.
    """
    python = interpreter(folder)
    if is_complete(folder):
        return python
    print(f"installing {REQUIREMENT} into {folder} (up to 2 minutes) ...", flush=True)
    install = [sys.executable, str(CHECKOUT / "install.py"), "--python", str(python)]
    # Without pip in the environment, so that a Python without ensurepip works.
    _run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)])
    _run([*install, "-c", str(CONSTRAINTS), REQUIREMENT])
    (folder / INSTALLED).write_text(CONSTRAINTS.read_text())
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise EnvironmentFailed(
            f"RecTools could not be installed ({last}); check the network, or leave it out with "
            "ARGS='--contenders rondo padded'"
        )


def main() -> None:
    """`python -m benchmarks.rectools_environment`: create it where the tests look for it."""
    try:
        print(make(CHECKOUT / ".rondo" / "rectools"))
    except EnvironmentFailed as error:
        sys.exit(f"rectools: {error}")


if __name__ == "__main__":
    main()
