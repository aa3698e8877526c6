"""The rules for the champion: a refresh must not be worse, and a changed recipe must be better.

A changed recipe has newer data than the champion, too, which alone can make it better. So it must
be better than the champion's twin (the champion's recipe, fitted on the same data), and not worse
than the champion as it serves. Without a twin it must be better than the champion's own weights.
"""

from collections.abc import Iterator
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
    if refresh or evidence.twin is None:
        yield from contest_checks("champion", contest, refresh, thresholds)
    else:
        yield from contest_checks("champion", contest, True, thresholds)
        yield from contest_checks("recipe", evidence.twin, False, thresholds, _TWIN)
    if not refresh and evidence.twin is None:
        yield _without_twin(evidence, champion)


def _without_twin(evidence: Evidence, champion: Champion) -> Check:
    days = (evidence.cutoff - champion.cutoff) / DAY
    why = evidence.twin_missing or "no reason is recorded"
    reason = (
        f"compared with the champion's own weights, whose data end {days:.1f} days earlier, so "
        f"newer data are a part of the change; its recipe was not fitted on these data: {why}"
    )
    return Check("recipe", None, None, None, reason, abstains=True)
