"""The rules for contests: superior, or not worse than a margin, with known error rates."""

import math
from collections.abc import Iterator
from statistics import NormalDist

from training.check import Check, missing, not_below
from training.contest import LEAST_ERROR
from training.evidence import Contest, Part
from training.thresholds import GateParams

_NORMAL = NormalDist()
#: Confidence of the bounds that are shown and that make a release harmful, one-sided.
_CONFIDENCE = 0.95
#: The change and the chance for which the verdict says what could have been seen.
_CHANGE, _POWER = 0.05, 0.8


def contest_checks(
    name: str,
    contest: Contest,
    refresh: bool,
    thresholds: GateParams,
    other: str = "",
    why: str = "changed code or params",
) -> Iterator[Check]:
    """Checks of one contest, named `name` and `name.support`.

    refresh: whether not being worse than `delta` is enough; other: the other release in words, by
    default its id; why: why it must be better, if it must.
    """
    yield _support(f"{name}.support", contest, thresholds)
    margin = thresholds.delta if refresh else 0.0
    unit = "clicks per slate" if contest.basis == "slates" else "the metric on organic choices"
    if not contest.counted:
        reason = "nothing new was logged since the last look at this release"
        yield missing(name, reason)
        return
    if not all(map(math.isfinite, (contest.change, contest.error, contest.bound))):
        yield missing(name, f"{unit} of the two releases cannot be compared")
        return
    z = (contest.change + margin) / max(contest.error, LEAST_ERROR)
    passed = z > contest.bound
    rule = f"not worse than {-margin:+.1%}" if refresh else f"better ({why})"
    against = other or contest.release[:12]
    reason = (
        f"{unit} {told(contest.change, contest.error)} against {against} over "
        f"{len(contest.looks) + 1} looks, must be {rule}: z {z:.2f}, must be > "
        f"{contest.bound:.2f}; {_seen(contest)}"
    )
    if not passed:
        reason += f"; {_needed(contest, margin, refresh, other or 'the champion')}"
    harmful = contest.change + _NORMAL.inv_cdf(_CONFIDENCE) * contest.error < 0.0
    yield Check(name, passed, z, contest.bound, reason, harmful=harmful and not passed)


def superior(contest: Contest) -> bool:
    """Whether the challenger is shown to be better. False if that is not known."""
    return contest.change > contest.bound * max(contest.error, LEAST_ERROR)


def reference_check(contest: Contest, thresholds: GateParams) -> Check:
    """Check that the release is not worse than the reference, so that refreshes cannot add up to a
    loss. All looks at the reference spend one error rate, as those at a champion do."""
    if not all(map(math.isfinite, (contest.change, contest.error, contest.bound))):
        return missing("reference", f"no new comparison with the reference {contest.release[:12]}")
    error = max(contest.error, LEAST_ERROR)
    low = contest.change - contest.bound * error
    high = contest.change + _NORMAL.inv_cdf(_CONFIDENCE) * error
    reason = (
        f"{told(contest.change, contest.error)} against {contest.release[:12]}, the last release "
        f"that was shown to be better: lower bound, at {contest.bound:.2f} standard errors, must "
        f"be > {-thresholds.delta:+.1%}"
    )
    return Check(
        "reference", low > -thresholds.delta, low, -thresholds.delta, reason,
        harmful=high < -thresholds.delta,
    )  # fmt: skip


def organic_popularity(contest: Contest, thresholds: GateParams) -> Check:
    """Check against recency-popularity where the log says too little about what it would show.

    Organic choices are what is left after the slates of a champion that ranks like this release. So
    they count against it, and only a large loss says something.
    """
    said = "the log says too little about what recency-popularity would show"
    if not (math.isfinite(contest.change) and math.isfinite(contest.error)):
        reason = f"not compared: {said}, and there are too few organic choices"
        return Check("popularity", None, None, None, reason, abstains=True)
    floor = -thresholds.guard
    high = contest.change + _NORMAL.inv_cdf(_CONFIDENCE) * contest.error
    said = f"{said}; organic choices {told(contest.change, contest.error)} against it"
    return not_below("popularity", said, contest.change, high, floor, "+.0%")


def slice_check(name: str, part: Part, thresholds: GateParams) -> Check:
    """Check that a slice does not lose more than the floor, over all looks."""
    label, least = f"slice.{name}", thresholds.min_slice_users
    if part.people < least:
        reason = f"{name}: {part.people} users, {least} needed"
        return Check(label, None, part.people, least, reason, abstains=True)
    if not (math.isfinite(part.change) and math.isfinite(part.error)):
        return missing(label, f"{name}: no comparison with the champion")
    floor = -thresholds.slice_floor
    high = part.change + _NORMAL.inv_cdf(0.5 + _CONFIDENCE / 2) * part.error
    said = f"{name} against the champion {told(part.change, part.error)}"
    return not_below(label, said, part.change, high, floor, "+.0%")


def told(change: float, error: float) -> str:
    """A change with its 90 % interval."""
    half = _NORMAL.inv_cdf(_CONFIDENCE) * error
    return f"{change:+.2%} [{change - half:+.2%}, {change + half:+.2%}]"


def _support(name: str, contest: Contest, thresholds: GateParams) -> Check:
    """Check that the log says enough of what the two would show."""
    what = "slates" if contest.basis == "slates" else "queries"
    short = []
    if contest.people < thresholds.min_users:
        short.append(f"{thresholds.min_users - contest.people} more people are needed")
    if contest.basis == "slates" and contest.total_effective < thresholds.min_effective:
        share = contest.total_effective / max(contest.total, 1)
        more = math.ceil((thresholds.min_effective - contest.total_effective) / max(share, 0.01))
        short.append(f"about {more} more slates are needed")
    for side, clipped in (("it", contest.clipped), ("the other", contest.other_clipped)):
        if not clipped <= thresholds.max_clipped:
            short.append(
                f"the log says too little about {clipped:.0%} of what {side} would show, at most "
                f"{thresholds.max_clipped:.0%} allowed"
            )
    reason = f"{contest.total} {what} of {contest.people} people"
    if contest.basis == "slates":
        reason += f", worth {contest.total_effective:.0f} slates of its own"
    if short:
        reason += ": " + ", ".join(short)
    value = contest.total_effective if contest.basis == "slates" else contest.people
    least = thresholds.min_effective if contest.basis == "slates" else thresholds.min_users
    return Check(name, None if short else True, value, least, reason)


def _seen(contest: Contest) -> str:
    """How often a loss would have been seen, and the release rejected, with so much data."""
    error = max(contest.error, LEAST_ERROR)
    chance = _NORMAL.cdf(_CHANGE / error - _NORMAL.inv_cdf(_CONFIDENCE))
    return f"{-_CHANGE:.0%} would have been seen in {round(100 * chance)} of 100 windows like this"


def _needed(contest: Contest, margin: float, refresh: bool, other: str) -> str:
    """How much more data would decide."""
    true = 0.0 if refresh else _CHANGE
    error = (true + margin) / (contest.bound + _NORMAL.inv_cdf(_POWER))
    more = contest.total * ((contest.error / error) ** 2 - 1.0) if error > 0 else math.inf
    what = "slates" if contest.basis == "slates" else "queries"
    if not math.isfinite(more):
        return "no amount of data would decide"
    if more <= 0:
        return f"more {what} would not help, if it is not better than this"
    truly = f"as good as {other}" if refresh else f"{_CHANGE:+.0%} better"
    people = contest.people * more / max(contest.total, 1)
    return f"if it is {truly}, about {more:,.0f} more {what} (some {people:,.0f} people) would tell"
