"""A folder with the Open Bandit Pipeline and confseq, which tests compare the estimators with.

Created once, put on `PYTHONPATH` by those tests alone. They state requirements that conflict with
Rondo's, but run on its versions, so that only what Rondo lacks is installed (60 MB). confseq's
compiled half needs Boost and is left out.
"""

import subprocess
import sys
from pathlib import Path
from typing import Final

from base.errors import InputError
from benchmarks.child import CHECKOUT

CONSTRAINTS: Final = Path(__file__).with_name("oracles-constraints.txt")
INSTALLED: Final = "installed.txt"
"""The constraints that were installed, written when the folder is complete."""


class OraclesFailed(InputError):
    """They could not be installed. The message has pip's last line."""


def is_complete(folder: Path) -> bool:
    """Whether `folder` holds these versions."""
    marker = folder / INSTALLED
    return marker.exists() and marker.read_text() == CONSTRAINTS.read_text()


def make(folder: Path) -> Path:
    """Install into `folder` if needed, and return it. Raises OraclesFailed."""
    if is_complete(folder):
        return folder
    wanted = [line for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    # pip, because uv cannot ignore what a package says of Python's version. Settings of a build
    # reach only packages that are named in the command, not those of a file.
    command = [
        *(sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check"),
        *("--no-deps", "--ignore-requires-python", "--no-compile", "--upgrade"),
        *("--config-settings=--global-option=--skip-cmake", "--target", str(folder)),
        *wanted,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or "no message").splitlines()[-1]
        raise OraclesFailed(f"could not be installed ({last}); check the network")
    (folder / INSTALLED).write_text(CONSTRAINTS.read_text())
    return folder


def main() -> None:
    """`python -m benchmarks.oracles`: install them where the tests look for them."""
    try:
        print(make(CHECKOUT / ".rondo" / "oracles"))
    except OraclesFailed as error:
        sys.exit(f"oracles: {error}")


if __name__ == "__main__":
    main()
