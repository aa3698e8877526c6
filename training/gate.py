"""Decide to promote, start a canary, hold or reject: a pure function of the evidence.

Every check passes, fails, abstains, or has no result because evidence is missing (`passed` is
None). A release is promoted only if no check stands in its way. It is rejected if it is clearly
worse or broken. It becomes a canary if only more data are missing, which a canary can collect. In
all other cases, including errors, it is held.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import numpy as np

from base.record import Record
from training import limits
from training.check import Check, bounded, missing, not_below
from training.contest_rules import (
    contest_checks,
    organic_popularity,
    reference_check,
    slice_check,
)
from training.evidence import Champion, Evidence, Slice
from training.limits import Limit
from training.recipe_rules import recipe_checks
from training.thresholds import GateParams

Decision = Literal["promote", "canary", "hold", "reject"]

#: Slices chosen by what the user turned out to want, which is unknown at the request. A model that
#: always shows new items wins on the users who wanted one. So such a slice is reported, but has no
#: floor.
OUTCOME_SLICES: Final = ("new_items",)


class Verdict(Record):
    """The decision, with all its checks."""

    decision: Decision
    checks: tuple[Check, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The checks that stand in the way, or all checks if none does."""
        against = tuple(check.reason for check in self.checks if check.against)
        return against or tuple(check.reason for check in self.checks)

    def passed(self, names: Iterable[str]) -> bool:
        """Whether the checks of all these names were made and passed."""
        return {check.name for check in self.checks if check.passed is True} >= set(names)


def gate(evidence: Evidence, thresholds: GateParams) -> Verdict:
    """The verdict on a challenger.

    Never raises: a check that crashes counts as missing evidence.
    """
    try:
        checks = tuple(_checks(evidence, thresholds))
    except Exception as error:  # on any error, hold
        checks = (missing("gate", f"the gate itself failed: {type(error).__name__}: {error}"),)
    return Verdict(decision=decision(checks), checks=checks)


def decision(checks: tuple[Check, ...]) -> Decision:
    """What follows from checks."""
    against = [check for check in checks if check.against]
    if any(check.harmful for check in checks):
        return "reject"
    if not checks:
        return "hold"
    if not against:
        return "promote"
    return "canary" if all(check.canary for check in against) else "hold"


def _checks(evidence: Evidence, thresholds: GateParams) -> Iterator[Check]:
    yield _window(evidence)
    if evidence.first_release is not False:  # else people are counted over all looks
        yield _users(evidence, thresholds)
    yield from _data(evidence, thresholds)
    yield from _output(evidence, thresholds)
    yield from _popularity(evidence, thresholds)
    yield from _champion(evidence, thresholds)
    yield from _slice_floors(evidence, thresholds)


def _window(evidence: Evidence) -> Check:
    starts = evidence.windows.rank_end
    cutoffs = {"challenger": evidence.cutoff}
    if evidence.champion is not None:
        cutoffs["champion"] = evidence.champion.cutoff
    late = [name for name, cutoff in cutoffs.items() if cutoff > starts]
    if late:
        return missing("window", f"the judge window begins before the end of what {late} saw")
    if evidence.windows.judge_end <= starts:
        return missing("window", "the judge window is empty")
    return Check("window", True, None, None, "no release was trained on the judge window")


def _users(evidence: Evidence, thresholds: GateParams) -> Check:
    enough = evidence.users >= thresholds.min_users
    reason = f"{evidence.users} judged users, at least {thresholds.min_users} needed"
    return Check(
        "users",
        True if enough else None,
        evidence.users,
        thresholds.min_users,
        reason,
        canary=evidence.first_release is True,
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
        yield bounded("output.distinct_items", meaning, value, floor, at_least=True)
        yield _new_items(evidence.output, thresholds)


def _new_items(output: dict[str, float], thresholds: GateParams) -> Check:
    """Check that items that nobody could train on are shown at all."""
    wanted, supply = (output.get(name, math.nan) for name in ("new_demand", "new_supply"))
    # numpy's minimum, unlike Python's, is NaN if one of the two is.
    least = thresholds.new_items_floor * float(np.minimum(wanted, supply))
    meaning = "share of what is shown that new items have, against what there is and is chosen"
    return bounded("output.new_exposure", meaning, output.get("new_exposure"), least, at_least=True)


def _popularity(evidence: Evidence, thresholds: GateParams) -> Iterator[Check]:
    if evidence.first_release is not False:
        yield _first_popularity(evidence)
        return
    met, champion = evidence.popularity, evidence.champion
    if champion is None or champion.contest is None:
        return  # the gate holds, since nothing was compared with the champion
    if met is None:
        yield missing("popularity", "no comparison with recency-popularity")
        return
    if met.basis == "organic" and champion.contest.basis == "slates":
        yield organic_popularity(met, thresholds)
        return
    refresh = champion.fingerprint == evidence.fingerprint
    why = "what is no better than popularity is not worth serving"
    yield from contest_checks("popularity", met, refresh, thresholds, "recency-popularity", why)


def _first_popularity(evidence: Evidence) -> Check:
    """Check a first release against recency-popularity, on organic choices of one window."""
    difference = evidence.differences.get("popularity")
    if difference is None or not difference.known:
        return missing("popularity", "no comparison with recency-popularity")
    return Check(
        "popularity",
        difference.low > 0,
        difference.low,
        0.0,
        f"served minus recency-popularity {evidence.metric} {difference}: lower bound must be > 0",
        harmful=difference.high < 0,
        canary=evidence.first_release is True and difference.high >= 0,
    )


def _champion(evidence: Evidence, thresholds: GateParams) -> Iterator[Check]:
    if evidence.first_release is None:
        yield missing("champion", "the champion was not looked for")
        return
    if evidence.first_release:
        if evidence.champion is not None:
            yield missing("champion", "marked as the first release, although there is a champion")
        else:
            yield Check("champion", True, None, None, "no champion yet: this is the first release")
        return
    champion = evidence.champion
    if champion is None or champion.contest is None:
        yield missing("champion", "the champion was not re-scored on this window")
        return
    yield from recipe_checks(evidence, champion, champion.contest, thresholds)
    if champion.contest.basis == "slates":
        yield _organic(evidence, champion, thresholds)
    yield from _reference(evidence, champion, thresholds)


def _organic(evidence: Evidence, champion: Champion, thresholds: GateParams) -> Check:
    """Check that the release does not lose much on organic choices.

    These are what people still wanted after the champion's slates, so the champion looks worse on
    them than it is (docs/adr/0028), and a loss on them is a large one.
    """
    reference, difference = champion.metrics.get(evidence.metric), champion.difference
    if reference is None:
        return missing("organic", f"the champion has no {evidence.metric}")
    if not (reference.known and difference.known):
        reason = "not compared on organic choices: too few outside the champion's own window"
        return Check("organic", None, None, None, reason, abstains=True)
    floor = -thresholds.guard * reference.mean
    said = f"challenger minus champion {evidence.metric} {difference} on organic choices"
    return not_below("organic", said, difference.mean, difference.high, floor)


def _reference(evidence: Evidence, champion: Champion, thresholds: GateParams) -> Iterator[Check]:
    """Check against the last release that was shown to be better, so that refreshes cannot add up
    to a loss."""
    if evidence.reference_release is None:
        yield missing("reference", "it is not known which release refreshes may not fall below")
    elif evidence.reference_release == champion.release:
        reason = "the champion is itself the last release that was shown to be better"
        yield Check("reference", True, None, None, reason)
    elif evidence.reference is None:
        reason = f"the reference {evidence.reference_release[:12]} could not be re-scored"
        yield missing("reference", reason)
    else:
        yield reference_check(evidence.reference, thresholds)


def _slice_floors(evidence: Evidence, thresholds: GateParams) -> Iterator[Check]:
    champion = evidence.champion
    if not evidence.slices:
        yield missing("slices", "no slice was judged")
    if champion is not None and champion.contest is not None:
        parts = champion.contest.slices
        if not parts:
            yield missing("slices", "no slice was judged against the champion")
        for name, part in parts.items():
            if name not in OUTCOME_SLICES:
                yield slice_check(name, part, thresholds)
        return
    for name, against_popularity in evidence.slices.items():
        if name not in OUTCOME_SLICES:
            yield _first_slice(name, against_popularity, thresholds)


def _first_slice(name: str, part: Slice, thresholds: GateParams) -> Check:
    """Check a slice of the first release, against recency-popularity."""
    label = f"slice.{name}"
    if part.users < thresholds.min_slice_users:
        reason = f"{name}: {part.users} users, {thresholds.min_slice_users} needed"
        return Check(label, None, part.users, thresholds.min_slice_users, reason, abstains=True)
    if not (part.difference.known and math.isfinite(part.reference)):
        return missing(label, f"{name}: no comparison with recency-popularity")
    floor = -thresholds.slice_floor * part.reference
    said = f"{name} against recency-popularity {part.difference}"
    return not_below(label, said, part.difference.mean, part.difference.high, floor)


def _limited(
    group: str,
    limit: Limit,
    numbers: dict[str, float],
    thresholds: GateParams,
    harmful: bool = False,
) -> Check:
    value, bound = numbers.get(limit.name), float(limit.threshold(thresholds))
    name = f"{group}.{limit.name}"
    return bounded(name, limit.meaning, value, bound, limit.at_least, harmful=harmful)
