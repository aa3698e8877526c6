"""The rules for the champion: a refresh must not be worse, and a changed recipe must be better.

A changed recipe has newer data than the champion, too, which alone can make it better. So it must
be better than the champion's twin (the champion's recipe, fitted on the same data), and not worse
than the champion as it serves. If the twin is the challenger itself, nothing changed but the data.
Without a twin it must be better than the champion's own weights.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from features.schema import DAY
from training.check import Check
from training.contest_rules import contest_checks
from training.evidence import Champion, Contest, Evidence
from training.thresholds import GateParams

_TWIN: Final = "the champion's recipe on the same data"


def recipe_checks(
    evidence: Evidence, champion: Champion, contest: Contest, thresholds: GateParams
) -> Iterator[Check]:
    """Checks of the challenger against the champion (`contest`), and against its twin."""
    refresh = champion.fingerprint == evidence.fingerprint
    judged = refresh or evidence.twin_equal or evidence.twin is not None
    yield from contest_checks("champion", contest, judged, thresholds)
    if refresh:
        return
    if evidence.twin_equal:
        reason = "the champion's recipe makes the same models of the same data: this is a refresh"
        yield Check("recipe", True, None, None, reason)
    elif evidence.twin is not None:
        for check in contest_checks("recipe", evidence.twin, False, thresholds, _TWIN):
            yield check if check.passed or check.harmful else _with_advice(check)
    else:
        yield _without_twin(evidence, champion)


def _with_advice(check: Check) -> Check:
    """What serves gets older while a recipe waits."""
    advice = "until then, a retrain with the champion's code and params refreshes what serves"
    return replace(check, reason=f"{check.reason}; {advice}")


def _without_twin(evidence: Evidence, champion: Champion) -> Check:
    days = (evidence.cutoff - champion.cutoff) / DAY
    why = evidence.twin_missing or "no reason is recorded"
    reason = (
        f"compared with the champion's own weights, whose data end {days:.1f} days earlier, so "
        f"newer data are a part of the change; its recipe was not fitted on these data: {why}"
    )
    return Check("recipe", None, None, None, reason, abstains=True)
