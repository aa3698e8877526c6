"""Gate checks of a packaged release: it loads, scores as in training, and is small and fast.

The checks use the published copy, fetched and verified as a worker would do, so that the release
being judged is the one that will be served.
"""

import math

import numpy as np

from features.items.catalogue import Catalogue
from serving.check import TOLERANCE, passes
from training.check import Check, plain
from training.evidence import Evidence
from training.judging import Judged
from training.thresholds import GateParams

#: A difference up to this comes only from the order of summation.
EXACT = 1e-9


def release_checks(
    numbers: dict[str, float],
    release: str,
    withdrawn: set[str],
    evidence: Evidence,
    judged: Judged,
    thresholds: GateParams,
) -> list[Check]:
    """Checks of the published copy of `release`.

    numbers: measured on that copy in a fresh process (`serving.fresh_process`); withdrawn:
    releases that were rolled back from; judged: that copy on the judge window.
    """
    return [
        reproduces(evidence, judged),
        reproduces_golden(numbers),
        finite(numbers),
        latency(numbers, thresholds.max_milliseconds),
        size(numbers, thresholds.max_megabytes),
        not_withdrawn(release, withdrawn),
    ]


def not_withdrawn(release: str, withdrawn: set[str]) -> Check:
    """Check that this very release was not rolled back from.

    The same data would otherwise bring it back.
    """
    known = release in withdrawn
    reason = "it was rolled back from before" if known else "never rolled back from"
    return Check("release.withdrawn", not known, None, None, reason)


def reproduces(evidence: Evidence, judged: Judged) -> Check:
    """Check that the packaged release scores the judge window as the models did in training."""
    known = evidence.metrics.get("served", {}).get(evidence.metric)
    if known is None or not known.known:
        return Check("release.parity", None, None, None, "no training-time score to compare with")
    users, inverse = np.unique(judged.users, return_inverse=True)
    values = judged.metrics[evidence.metric]
    mean = (
        float((np.bincount(inverse, values) / np.bincount(inverse)).mean()) if len(users) else 0.0
    )
    difference = abs(mean - known.mean)
    passed = math.isfinite(difference) and difference <= EXACT
    reason = f"packaged {evidence.metric} {mean:.6f}, in training {known.mean:.6f}"
    return Check("release.parity", passed, difference, EXACT, reason, harmful=not passed)


def reproduces_golden(numbers: dict[str, float]) -> Check:
    """Check that a fresh process loads the release and reproduces the golden scores."""
    difference = numbers.get("golden_difference")
    if difference is None:
        reason = "a fresh process could not load the release"
        return Check("release.golden", False, None, TOLERANCE, reason, harmful=True)
    passed = passes(numbers)
    return Check(
        "release.golden",
        passed,
        difference if math.isfinite(difference) else None,
        TOLERANCE,
        f"{numbers['golden_requests']:.0f} golden requests in a fresh process, "
        f"largest difference {difference:.2g}",
        harmful=not passed,
    )


def kept(before: Catalogue, now: Catalogue, limit: float) -> Check:
    """Check that most items that the champion could show can still be shown.

    before: the champion's catalogue; now: the challenger's.
    """
    shown = before.item_ids[before.available]
    if not len(shown):
        return Check("data.gone_share", None, None, limit, "the champion could show no item")
    available = set(now.item_ids[now.available].tolist())
    gone = [item for item in shown.tolist() if item not in available]
    share = len(gone) / len(shown)
    reason = (
        f"share of the champion's {len(shown)} available items that became unavailable: "
        f"{plain(share)}, must be ≤ {plain(limit)}"
    )
    if share > limit:
        reason += f"; such as {gone[0]}"
    return Check("data.gone_share", share <= limit, share, limit, reason)


def finite(numbers: dict[str, float]) -> Check:
    """Check that all weights, and the scores of the golden requests, are finite numbers."""
    value = numbers.get("not_finite")
    if value is None:
        return Check("release.finite", None, None, 0, "the weights were not looked at")
    reason = f"{value:.0f} weights and golden scores are NaN or infinite, none may be"
    return Check("release.finite", value == 0, value, 0, reason, harmful=value > 0)


def latency(numbers: dict[str, float], limit: float) -> Check:
    """Check that requests, one at a time, are ranked fast enough."""
    value = numbers.get("rank_p50_ms", math.nan)
    if not math.isfinite(value):
        return Check("release.latency", None, None, limit, "latency was not measured")
    return Check(
        "release.latency",
        value <= limit,
        value,
        limit,
        f"half of the requests rank within {value:.1f} ms, limit {limit:.0f} ms",
    )


def size(numbers: dict[str, float], limit: float) -> Check:
    """Check that the release is small enough to be fetched by every worker."""
    value = numbers.get("megabytes", math.nan)
    if not math.isfinite(value):
        return Check("release.size", None, None, limit, "size was not measured")
    return Check(
        "release.size",
        value <= limit,
        value,
        limit,
        f"the release holds {value:.1f} MB, at most {limit:.0f} MB allowed",
    )
