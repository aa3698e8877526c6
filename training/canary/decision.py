"""What to do about a canary at one look: a pure function of its evidence.

All bounds hold at all looks together, so one may look as often as one likes. Of `alpha`, the
comparison of rewards takes four fifths (half of it on the side that rolls back), and each of three
guards a fifteenth.
"""

import math
from dataclasses import dataclass, replace
from typing import Final, Literal

from base.arrays import Float64s
from training.canary import proportion, reward, sample_ratio
from training.canary.evidence import Arm, Evidence
from training.canary.params import CanaryParams
from training.canary.reward import Ratio

Action = Literal["continue", "grow", "succeed", "roll back", "stop"]

#: With so many users, an arm's variety of items depends little on their number.
FEW: Final = 50

_REWARD: Final = 4 / 5
_GUARD: Final = 1 / 15


@dataclass(frozen=True)
class Look:
    """The result of one look.

    share: after it; ratio: the comparison of rewards, None if it cannot be made yet; missing: about
    how many more users a success would take, if known.
    """

    action: Action
    reason: str
    share: float
    ratio: Ratio | None
    missing: float | None = None


def decide(evidence: Evidence, params: CanaryParams, days: float) -> Look:
    """Decide. days: since the canary started."""
    share = evidence.shares[-1]
    harm = _mismatch(evidence, params) or _failing(evidence, params) or _slow(evidence, params)
    harm = harm or _monotonous(evidence, params)
    judged = replace(params, alpha=params.alpha * _REWARD)
    found = reward.ratio(evidence, judged)
    if harm is not None:
        return Look("roll back", harm, share, found)
    if found is not None and found.high < 0:
        return Look("roll back", f"it earns less: {told(found)}", share, found)
    waiting = _waiting(evidence, params, found)
    if found is not None and found.low > math.log1p(-params.margin):
        good = f"its reward is at most {params.margin:.0%} below the control's: {told(found)}"
        unseen = _unseen(evidence, params)
        if unseen is None:
            return Look("succeed", good, share, found, 0.0)
        waiting = f"{good}; {unseen}"
    if days >= params.max_days:
        return Look("stop", f"undecided after {days:.0f} days", share, found)
    missing = None
    if found is not None:
        missing = reward.people_missing(found, float(evidence.by_arm().sum()), judged)
        bigger = min(2 * share, params.max_share)
        at_risk = bigger * -math.expm1(min(found.low, 0.0))
        if bigger > share and at_risk <= params.risk:
            reason = f"at a share of {bigger:.0%} at most {at_risk:.1%} of all reward is at risk"
            return Look("grow", reason, bigger, found, missing)
    return Look("continue", waiting, share, found, missing)


def told(found: Ratio) -> str:
    """The comparison in words."""
    values = [math.expm1(value) for value in (found.log, found.low, found.high)]
    return "clicks per slate {:+.1%} ({:+.1%} to {:+.1%})".format(*values)


def _unseen(evidence: Evidence, params: CanaryParams) -> str | None:
    """What the guards still need before their silence says something."""
    requests, slots = evidence.counts.requests.min(), evidence.counts.slots.min()
    needed = []
    if requests < params.min_requests:
        needed.append(f"{params.min_requests - requests:.0f} more requests")
    if slots < params.min_slots:
        needed.append(f"{params.min_slots - slots:.0f} more items shown")
    users = evidence.by_arm()
    if not _comparable(users):
        needed.append(f"{FEW - users.min():.0f} more users")
    if not needed:
        return None
    return f"the guards need {' and '.join(needed)} in an arm"


def _waiting(evidence: Evidence, params: CanaryParams, found: Ratio | None) -> str:
    if found is not None:
        return told(found)
    control, canary = evidence.by_arm().tolist()
    return (
        f"the time for clicks has passed for {control:.0f} users in the control and {canary:.0f} "
        f"in the canary; rewards are compared from {params.min_users} in each and the first clicks "
        "on"
    )


def _mismatch(evidence: Evidence, params: CanaryParams) -> str | None:
    found = sample_ratio.log_evidence(evidence.arrivals, evidence.shares)
    if found < -math.log(params.alpha * _GUARD):
        return None
    control, canary = evidence.arrivals.sum(axis=0).tolist()
    shares = ", ".join(f"{share:.0%}" for share in evidence.shares)
    return (
        f"users are not split as assigned: {canary:.0f} of {control + canary:.0f} new users in the "
        f"canary at a share of {shares}, so requests of an arm are lost"
    )


def _failing(evidence: Evidence, params: CanaryParams) -> str | None:
    counts = evidence.counts
    failed, requests = counts.failed[Arm.CANARY], counts.requests[Arm.CANARY]
    low, _ = proportion.bounds(failed, requests, params.alpha * _GUARD)
    if low <= params.max_failed_share:
        return None
    return f"it failed to answer {failed:.0f} of its {requests:.0f} requests"


def _slow(evidence: Evidence, params: CanaryParams) -> str | None:
    slow, requests = evidence.counts.slow, evidence.counts.requests
    alpha = params.alpha * _GUARD / 2
    low, _ = proportion.bounds(slow[Arm.CANARY], requests[Arm.CANARY], alpha)
    if low <= params.max_slow_share:
        return None
    _, high = proportion.bounds(slow[Arm.CONTROL], requests[Arm.CONTROL], alpha)
    if low <= high + params.max_slow_share:
        return None
    share = slow / requests
    return (
        f"{share[Arm.CANARY]:.1%} of its requests take longer than {params.slow_milliseconds:.0f} "
        f"ms, of the control's {share[Arm.CONTROL]:.1%}"
    )


def _comparable(users: Float64s) -> bool:
    """Whether the variety of items of both arms can be compared.

    Slates of one user hold the same items again, so an arm of a few users shows fewer items than
    one of many.
    """
    return bool(2 * users.min() >= min(users.max(), 2 * FEW))


def _monotonous(evidence: Evidence, params: CanaryParams) -> str | None:
    """Compare the effective number of items shown (inverse Simpson index, which needs no equal
    numbers of slots)."""
    slots, pairs, users = evidence.counts.slots, evidence.counts.pairs, evidence.by_arm()
    if slots.min() < params.min_slots or users.min() < params.min_users or not _comparable(users):
        return None
    same = pairs / (slots * (slots - 1))
    if same[Arm.CANARY] * params.diversity_ratio <= same[Arm.CONTROL]:
        return None
    return (
        f"it shows as few items as {1 / same[Arm.CANARY]:.0f} shown equally often, the control "
        + (f"as {1 / same[Arm.CONTROL]:.0f}" if same[Arm.CONTROL] > 0 else "no item twice")
    )
