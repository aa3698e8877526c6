"""Checks of a packaged release, for the gate: it loads, it scores as in training, it is small.

"What was gated is what is served": the copy judged here is the published one, fetched and verified
like any worker would.
"""

import math
import subprocess
import sys
import time

import numpy as np

from flows.rollout import Rollout
from training.evidence import Evidence
from training.gate import Check
from training.judging import Judged

MAX_MEGABYTES = 500.0
TOLERANCE = 1e-9


def release_checks(
    rollout: Rollout, release: str, evidence: Evidence, judged: Judged
) -> list[Check]:
    """Checks of the published copy of `release`; `judged`: that copy on the judge window."""
    folder = rollout.fetch(release)
    megabytes = sum(path.stat().st_size for path in folder.rglob("*")) / 1e6
    return [
        reproduces(evidence, judged),
        loads(folder.as_posix()),
        Check(
            "release.size",
            megabytes <= MAX_MEGABYTES,
            megabytes,
            MAX_MEGABYTES,
            f"the release holds {megabytes:.1f} MB, at most {MAX_MEGABYTES:.0f} MB allowed",
        ),
    ]


def reproduces(evidence: Evidence, judged: Judged) -> Check:
    """Does the packaged release score the judge window as the trained parts did?"""
    known = evidence.metrics.get("served", {}).get(evidence.metric)
    if known is None or not known.known:
        return Check("release.parity", None, None, None, "no training-time score to compare with")
    users, inverse = np.unique(judged.users, return_inverse=True)
    values = judged.metrics[evidence.metric]
    mean = float((np.bincount(inverse, values) / np.bincount(inverse)).mean()) if len(users) else 0.0
    difference = abs(mean - known.mean)
    passed = math.isfinite(difference) and difference <= TOLERANCE
    reason = f"packaged {evidence.metric} {mean:.6f}, in training {known.mean:.6f}"
    return Check("release.parity", passed, difference, TOLERANCE, reason, harmful=not passed)


def loads(folder: str) -> Check:
    """Does a fresh process load it and reproduce its golden scores?"""
    started = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", "serving.check", folder], capture_output=True, text=True, timeout=120
    )
    seconds = time.monotonic() - started
    passed = result.returncode == 0
    last = (result.stdout if passed else result.stderr).strip().splitlines()[-1:]
    reason = last[0] if last else f"exit status {result.returncode}"
    return Check(
        "release.loads",
        passed,
        seconds,
        None,
        f"in a fresh process: {reason}",
        harmful=not passed,
    )
