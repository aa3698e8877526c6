"""A changed recipe is judged against the champion's recipe on the same data, if that was fitted."""

from typing import Any

import numpy as np
import pytest

from base.arrays import Bools
from features.schema import DAY
from tests.training.test_contest import DAY as LOOK_DAY
from tests.training.test_contest import THRESHOLDS as LOOKING
from tests.training.test_contest import altered_champion, evidence_of, scores
from tests.training.test_gate import CHAMPION, CONTEST, GOOD, THRESHOLDS, altered, changed, check
from training.contest import contest
from training.evidence import Contest, Evidence
from training.gate import Decision, gate

FRESHER = {"change": 0.05}
RECIPE = "f" * 64


def with_twin(**changes: Any) -> Evidence:
    """A changed recipe that earns 5 % more than the champion's older weights, and its twin."""
    twin = CONTEST.model_copy(update={"release": "same", **changes})
    return altered(changed(**FRESHER), twin=twin)


def test_fresher_data_alone_make_no_changed_recipe_superior() -> None:
    assert gate(changed(**FRESHER), THRESHOLDS).decision == "promote"
    verdict = gate(with_twin(change=0.001), THRESHOLDS)
    assert verdict.decision == "hold"
    (reason,) = verdict.reasons
    assert "against the champion's recipe on the same data" in reason
    assert "a retrain with the champion's code and params refreshes what serves" in reason
    assert check(verdict, "recipe").passed is False
    assert "not worse than -2.0%" in check(verdict, "champion").reason


@pytest.mark.parametrize(
    ("recipe", "served", "decision"),
    [
        (0.021, 0.05, "promote"),
        (0.019, 0.05, "hold"),
        (0.021, 0.001, "promote"),  # better, and not worse than what people get now
        (0.021, -0.002, "hold"),
        (-0.05, 0.05, "reject"),  # worse as a recipe, whatever its data do for it
        (0.021, -0.05, "reject"),
    ],
)
def test_it_must_be_better_than_the_twin_and_not_worse_than_what_is_served(
    recipe: float, served: float, decision: Decision
) -> None:
    twin = CONTEST.model_copy(update={"release": "same", "change": recipe})
    evidence = altered(changed(change=served), twin=twin)
    assert gate(evidence, THRESHOLDS).decision == decision


def test_the_twin_needs_as_much_data_as_the_champion() -> None:
    verdict = gate(with_twin(change=0.03, total_effective=20.0), THRESHOLDS)
    assert verdict.decision == "hold"
    assert check(verdict, "recipe.support").passed is None


def test_without_a_twin_the_verdict_says_why_and_how_much_older_the_champion_is() -> None:
    missing = altered(changed(**FRESHER), twin_missing="stage fit failed", cutoff=900 + 3 * DAY)
    ahead = altered(missing, windows=GOOD.windows.model_copy(update={"rank_end": 900 + 3 * DAY}))
    told = check(gate(ahead, THRESHOLDS), "recipe")
    assert told.abstains
    assert "3.0 days earlier" in told.reason
    assert "stage fit failed" in told.reason
    assert "better" in check(gate(ahead, THRESHOLDS), "champion").reason


def test_a_change_that_changes_nothing_is_a_refresh() -> None:
    verdict = gate(altered(changed(), twin_equal=True), THRESHOLDS)
    assert verdict.decision == "promote"
    assert "this is a refresh" in check(verdict, "recipe").reason
    assert gate(altered(changed(change=-0.012), twin_equal=True), THRESHOLDS).decision == "hold"


def test_a_refresh_has_no_twin() -> None:
    assert "recipe" not in {c.name for c in gate(GOOD, THRESHOLDS).checks}


def look(day: int, earlier: list[Evidence], fingerprint: str) -> Evidence:
    """A changed recipe against the twin, on `day`."""
    given, evidence = scores(day), evidence_of(day, fingerprint)
    every: Bools = np.ones(len(given.timestamps), dtype=np.bool_)
    end = (day + 1) * LOOK_DAY
    met = contest(given, RECIPE, every, end, evidence, earlier, LOOKING)
    served = contest(given, CHAMPION.release, every, end, evidence, earlier, LOOKING)
    return altered(evidence, champion=altered_champion(served), twin=met)


def twin_of(evidence: Evidence) -> Contest:
    assert evidence.twin is not None
    return evidence.twin


def test_looks_at_the_twin_are_pooled_and_spend_of_one_rate() -> None:
    first = look(1, [], "new")
    second, other = (twin_of(look(2, [first], name)) for name in ("new", "newer"))
    assert (second.number, second.total, len(second.looks)) == (2, 1200, 1)
    assert (other.number, other.total, other.looks) == (2, 600, ())
    assert other.bound > twin_of(look(2, [], "newer")).bound
