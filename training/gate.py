"""Decide to promote, hold or reject: a pure function of the evidence.

Every check passes, fails, or has no result because evidence is missing (`passed` is None). A
release is promoted only if all checks pass. It is rejected if it is clearly worse or broken. In all
other cases, including errors, it is held.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from base.record import Record
from training import limits
from training.bootstrap import Interval
from training.evidence import Champion, Evidence, Slice
from training.limits import Limit
from training.thresholds import GateParams

Decision = Literal["promote", "hold", "reject"]

#: Slices chosen by what the user turned out to want, which is unknown at the request. A model that
#: always shows new items wins on the users who wanted one. So such a slice is reported, but has no
#: floor.
OUTCOME_SLICES: Final = ("new_items",)


@dataclass(frozen=True)
class Check:
    """The result of one rule. `passed` is None if the evidence for it is missing."""

    name: str
    passed: bool | None
    value: int | float | None
    threshold: int | float | None
    reason: str
    harmful: bool = False
    """Clearly worse or broken, which is a reason to reject."""


class Verdict(Record):
    """The decision, with all its checks."""

    decision: Decision
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The checks that did not pass, or all checks if every one passed."""
        against = tuple(check.reason for check in self.checks if check.passed is not True)
        return against or tuple(check.reason for check in self.checks)


def gate(evidence: Evidence, thresholds: GateParams) -> Verdict:
    """The verdict on a challenger.

    Never raises: a check that crashes counts as missing evidence.
    """
    try:
        checks = tuple(_checks(evidence, thresholds))
    except Exception as error:  # on any error, hold
        checks = (_missing("gate", f"the gate itself failed: {type(error).__name__}: {error}"),)
    if any(check.harmful for check in checks):
        return Verdict(decision="reject", checks=checks)
    if checks and all(check.passed is True for check in checks):
        return Verdict(decision="promote", checks=checks)
    return Verdict(decision="hold", checks=checks)


def _checks(evidence: Evidence, thresholds: GateParams) -> Iterator[Check]:
    yield _window(evidence)
    yield _users(evidence, thresholds)
    yield from _data(evidence, thresholds)
    yield from _output(evidence, thresholds)
    yield _popularity(evidence)
    yield from _champion(evidence, thresholds)
    yield from _past(evidence, thresholds)
    yield from _slice_floors(evidence, thresholds)


def _window(evidence: Evidence) -> Check:
    starts = evidence.windows.rank_end
    cutoffs = {"challenger": evidence.cutoff}
    if evidence.champion is not None:
        cutoffs["champion"] = evidence.champion.cutoff
    late = [name for name, cutoff in cutoffs.items() if cutoff > starts]
    if late:
        return _missing("window", f"the judge window begins before the end of what {late} saw")
    if evidence.windows.judge_end <= starts:
        return _missing("window", "the judge window is empty")
    return Check("window", True, None, None, "no release was trained on the judge window")


def _users(evidence: Evidence, thresholds: GateParams) -> Check:
    enough = evidence.users >= thresholds.min_users
    return Check(
        "users",
        True if enough else None,
        evidence.users,
        thresholds.min_users,
        f"{evidence.users} judged users, at least {thresholds.min_users} needed",
    )


def _data(evidence: Evidence, thresholds: GateParams) -> Iterator[Check]:
    for limit in limits.DATA:
        yield _limited("data", limit, evidence.data, thresholds)


def _output(evidence: Evidence, thresholds: GateParams) -> Iterator[Check]:
    for limit, _ in limits.LISTS:
        yield _limited("output", limit, evidence.output, thresholds, harmful=True)
    if evidence.champion is not None:
        floor = thresholds.coverage_ratio * evidence.champion.distinct_items
        value = evidence.output.get("distinct_items")
        meaning = "items that are in any list, against the champion's"
        yield _bounded("output.distinct_items", meaning, value, floor, at_least=True)
        yield from _new_items(evidence.output, evidence.champion.new_share, thresholds)


def _new_items(
    output: dict[str, float], champion: float, thresholds: GateParams
) -> Iterator[Check]:
    """Check that items that nobody could train on are shown, but not far more often than users
    choose them.

    numpy's minimum and maximum, unlike Python's, give NaN if one of the two is NaN.
    """
    share, wanted = output.get("new_share"), output.get("new_demand", math.nan)
    least = thresholds.new_items_ratio * np.minimum(wanted, champion)
    most = np.maximum(thresholds.max_new_items_ratio * wanted, thresholds.free_new_share)
    places = "share of places that new items have, against what"
    meaning = f"{places} is chosen and was shown"
    yield _bounded("output.new_share", meaning, share, float(least), at_least=True)
    meaning = f"{places} users choose"
    yield _bounded("output.new_share_limit", meaning, share, float(most), at_least=False)


def _popularity(evidence: Evidence) -> Check:
    difference = evidence.differences.get("popularity")
    if difference is None or not difference.known:
        return _missing("popularity", "no comparison with recency-popularity")
    return Check(
        "popularity",
        difference.low > 0,
        difference.low,
        0.0,
        f"served minus recency-popularity {evidence.metric} {difference}: lower bound must be > 0",
        harmful=difference.high < 0,
    )


def _champion(evidence: Evidence, thresholds: GateParams) -> Iterator[Check]:
    if evidence.first_release is None:
        yield _missing("champion", "the champion was not looked for")
        return
    if evidence.first_release:
        if evidence.champion is not None:
            yield _missing("champion", "marked as the first release, although there is a champion")
        else:
            yield Check("champion", True, None, None, "no champion yet: this is the first release")
        return
    champion = evidence.champion
    if champion is None:
        yield _missing("champion", "the champion was not re-scored on this window")
        return
    yield _compared_users(champion, evidence.queries, thresholds.min_users)
    reference = champion.metrics.get(evidence.metric)
    known = reference is not None and reference.known
    if reference is None or not (known and champion.pooled.known and champion.difference.known):
        yield _missing("champion", "the comparison with the champion is incomplete")
        return
    refresh = champion.fingerprint == evidence.fingerprint
    margin = thresholds.delta * reference.mean if refresh else 0.0
    yield _bound("champion", evidence.metric, champion.pooled, margin, refresh)
    if champion.windows_pooled > 1:
        estimate = champion.difference.mean
        yield Check(
            "champion.window",
            estimate >= 0,
            estimate,
            0.0,
            f"on this window alone {champion.difference}: estimate must be ≥ 0",
            harmful=champion.difference.high < 0,
        )


def _compared_users(champion: Champion, queries: int, least: int) -> Check:
    """Check that there are enough users outside the windows that earlier releases were chosen
    on."""
    users = champion.pooled_users
    reason = f"compared on {users} users, at least {least} needed"
    if users < least:
        reason += f": {least - users} are missing"
    if champion.left_out:
        reason += (
            f"; {champion.left_out} of {queries} queries lie in the judge window of the champion "
            "or of a past release and are left out of all comparisons"
        )
    return Check("champion.users", True if users >= least else None, users, least, reason)


def _bound(name: str, metric: str, difference: Interval, margin: float, refresh: bool) -> Check:
    kind = "refresh" if refresh else "changed code or params"
    rule = f"lower bound must be > {-margin:+.4f}"
    passed = difference.low > -margin
    if refresh:
        rule += " and the estimate ≥ 0"
        passed = passed and difference.mean >= 0
    return Check(
        name,
        passed,
        difference.low,
        -margin,
        f"challenger minus champion {metric} {difference}: {rule} ({kind})",
        harmful=difference.high < 0,
    )


def _past(evidence: Evidence, thresholds: GateParams) -> Iterator[Check]:
    """Check non-inferiority to the best of the last releases, so that small losses cannot add
    up."""
    if evidence.past is None:
        yield _missing("past", "the last releases were not re-scored")
        return
    champion = evidence.champion
    past = {k: v for k, v in evidence.past.items() if champion is None or k != champion.release}
    if not past:
        yield Check("past", True, None, None, "no other past release to compare with")
        return
    reference = {release: evidence.past_reference.get(release, math.nan) for release in past}
    unknown = [r for r in past if not (past[r].known and math.isfinite(reference[r]))]
    if unknown:
        yield _missing("past", f"past release {unknown[0][:12]} could not be re-scored")
        return
    best = max(past, key=lambda release: (reference[release], release))
    margin, difference = thresholds.delta * reference[best], past[best]
    yield Check(
        "past",
        difference.low > -margin,
        difference.low,
        -margin,
        f"minus the best of {len(past)} past releases ({best[:12]}) {difference}: "
        f"lower bound must be > {-margin:+.4f}",
        harmful=difference.high < -margin,
    )


def _slice_floors(evidence: Evidence, thresholds: GateParams) -> Iterator[Check]:
    champion = evidence.champion
    against = "recency-popularity" if champion is None else "the champion"
    slices = evidence.slices if champion is None else champion.slices
    if not slices or not evidence.slices:
        yield _missing("slices", "no slice was judged")
    for name, part in slices.items():
        if name not in OUTCOME_SLICES:
            yield _slice_floor(name, part, thresholds, against)


def _slice_floor(name: str, part: Slice, thresholds: GateParams, against: str) -> Check:
    label = f"slice.{name}"
    if part.users < thresholds.min_slice_users:
        reason = f"{name}: {part.users} users, under {thresholds.min_slice_users}: too few to judge"
        return Check(label, True, part.users, thresholds.min_slice_users, reason)
    if not (part.difference.known and math.isfinite(part.reference)):
        return _missing(label, f"{name}: no comparison with {against}")
    floor = -thresholds.slice_floor * part.reference
    fails = part.difference.mean < floor and part.difference.high < 0
    reason = (
        f"{name} against {against} {part.difference}: must not be below {floor:+.4f} beyond chance"
    )
    return Check(label, not fails, part.difference.mean, floor, reason)


def _limited(
    group: str,
    limit: Limit,
    numbers: dict[str, float],
    thresholds: GateParams,
    harmful: bool = False,
) -> Check:
    value, bound = numbers.get(limit.name), float(limit.threshold(thresholds))
    return _bounded(
        f"{group}.{limit.name}", limit.meaning, value, bound, limit.at_least, harmful=harmful
    )


def _bounded(
    name: str,
    meaning: str,
    value: float | None,
    limit: float,
    at_least: bool,
    harmful: bool = False,
) -> Check:
    if value is None or not math.isfinite(value):
        return _missing(name, f"{name} is missing")
    if not math.isfinite(limit):
        return _missing(name, f"the value to compare {name} with is missing")
    passed = value >= limit if at_least else value <= limit
    reason = f"{meaning}: {plain(value)}, must be {'≥' if at_least else '≤'} {plain(limit)}"
    return Check(name, passed, value, limit, reason, harmful=harmful and not passed)


def plain(value: float) -> str:
    """A number for people: four digits, and no exponent for large numbers."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _missing(name: str, reason: str) -> Check:
    return Check(name, None, None, None, reason)
