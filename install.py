"""Install packages as pip would, in a tenth of the time.

    python install.py --python PYTHON ARGUMENTS…

uv does the work. It is given pip's settings, because it does not read them itself. If uv fails (for
example with an index that needs pip's credentials, or on a platform without uv), pip is used. This
script needs only the standard library; the first run installs uv beside this interpreter.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
#: pip's name of a setting, and the variable in which uv reads it.
SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


def uv_settings(listed: str) -> dict[str, str]:
    """uv's variables for the output of `pip config list`. Environment variables override files."""
    found: dict[str, str] = {}
    # Lines begin with their origin: `:env:`, `global`, `install`, `site`, `user`.
    for line in sorted(listed.splitlines(), reverse=True):
        if match := re.fullmatch(r"[^.]+\.([a-z-]+)='(.*)'", line):
            name, value = match.groups()
            values = re.split(r"\\n|\s+", value.strip())
            if name in SETTINGS:
                separator = "," if name == "find-links" else " "
                found[SETTINGS[name]] = separator.join(values)
    # pip takes the best version from all indexes. By default uv takes it from the first index that
    # has any.
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
        print("uv failed; trying pip, which takes minutes", file=sys.stderr)
    # The caller compiles bytecode on all cores, or Python does when it is first needed.
    command = [*pip, "--python", own.python, "install", "-q", "--no-compile", *arguments]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
