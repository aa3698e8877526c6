"""Release gates: plain numbers about a packaged release, measured in a fresh process."""

import json
import subprocess
import sys
from pathlib import Path


def release_checks(folder: Path, timeout: float = 120.0) -> dict[str, float]:
    """The numbers of `serving.check.check`, and `loads`: 1.0 if the process succeeded, else 0.0.

    A release that does not load has no other number: missing evidence means hold. A release cannot
    hold a pickle (`release.SUFFIXES`), or it would not verify.
    """
    command = [sys.executable, "-m", "serving.check", str(folder), "--json"]
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False
        )
        numbers = json.loads(result.stdout)
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        return {"loads": 0.0}
    return {"loads": float(result.returncode == 0), **numbers}
