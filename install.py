"""Installs packages as pip would, in a tenth of its time.

    python install.py --python PYTHON ARGUMENTS…

uv does the work; it is told what pip is configured with, since it does not look. Where uv cannot
(an index that wants pip's credentials, a platform without it), pip does. Nothing but the standard
library is needed; uv is installed beside this interpreter at the first run.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
#: What pip calls a setting, and the variable in which uv reads it.
SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


def uv_settings(listed: str) -> dict[str, str]:
    """uv's variables for what `pip config list` printed; the environment's wins over a file's."""
    found: dict[str, str] = {}
    # Lines begin with their origin: `:env:`, `global`, `install`, `site`, `user`.
    for line in sorted(listed.splitlines(), reverse=True):
        if match := re.fullmatch(r"[^.]+\.([a-z-]+)='(.*)'", line):
            name, value = match.groups()
            values = re.split(r"\\n|\s+", value.strip())
            if name in SETTINGS:
                separator = "," if name == "find-links" else " "
                found[SETTINGS[name]] = separator.join(values)
    # pip takes the best version of all indexes, uv by default that of the first which has any.
    return found | {"UV_INDEX_STRATEGY": "unsafe-best-match"}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--python", required=True, help="interpreter to install for")
    own, arguments = parser.parse_known_args()
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    beside = [*pip, "install", "-q", "-c", str(CONSTRAINTS), "uv"]
    if subprocess.run(beside, check=False).returncode == 0:
        listed = subprocess.run([*pip, "config", "list"], capture_output=True, text=True).stdout
        uv = [sys.executable, "-m", "uv", "pip", "install", "-q", "--python", own.python]
        environment = uv_settings(listed) | os.environ
        done = subprocess.run([*uv, *arguments], env=environment, capture_output=True, text=True)
        if done.returncode == 0:
            return 0
        print("uv could not; now with pip, which takes minutes", file=sys.stderr)
    # Bytecode is compiled by the caller on all cores, or when it is first needed.
    command = [*pip, "--python", own.python, "install", "-q", "--no-compile", *arguments]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
