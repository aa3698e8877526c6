"""The gate, rule by rule: a good release, and every way in which it can fail."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from features.splits.windows import Windows
from training.bootstrap import UNKNOWN, Interval
from training.check import Check
from training.contest import popularity_beside
from training.evidence import Champion, Contest, Evidence, Part, Slice
from training.gate import Verdict, gate
from training.thresholds import GateParams

METRIC = "ndcg@10"
NAN = math.nan
BETTER = Interval(0.010, 0.004, 0.016)
LEVEL = Interval(0.001, -0.003, 0.005)
WORSE = Interval(-0.010, -0.016, -0.004)
THRESHOLDS = GateParams(delta=0.02)
CHAMPION_ID = "a" * 40

CONTEST = Contest(
    release=CHAMPION_ID,
    basis="slates",
    judged_from=1000,
    judged_to=2000,
    by_user={},
    counted=2400,
    effective=2000.0,
    clipped=0.03,
    change=0.004,
    error=0.008,
    people=700,
    total=2400,
    total_effective=2000.0,
    bound=2.5,
    slices={"new_users": Part({}, 80, 0.01, 0.05)},
)
CHAMPION = Champion(
    release=CHAMPION_ID,
    cutoff=900,
    fingerprint="same",
    metrics={METRIC: Interval(0.20, 0.18, 0.22)},
    difference=LEVEL,
    distinct_items=500,
    contest=CONTEST,
)
POPULARITY = CONTEST.model_copy(
    update={"release": popularity_beside(CHAMPION_ID), "change": 0.5, "error": 0.05, "slices": {}}
)
GOOD = Evidence(
    windows=Windows(start=0, fit_end=500, rank_end=1000, judge_end=2000),
    cutoff=1000,
    fingerprint="same",
    metric=METRIC,
    users=400,
    queries=900,
    metrics={
        "served": {METRIC: Interval(0.201, 0.19, 0.22)},
        "popularity": {METRIC: Interval(0.15, 0.14, 0.16)},
    },
    differences={"popularity": BETTER, "transformer": BETTER},
    slices={"new_users": Slice(80, 0.1, BETTER)},
    output={
        "coverage": 0.4,
        "distinct_items": 480.0,
        "full_share": 1.0,
        "common_share": 0.01,
        "new_share": 0.05,
        "new_demand": 0.08,
        "new_supply": 0.03,
        "new_exposure": 0.049,
    },
    data={
        "events": 50_000.0,
        "unjoined_share": 0.01,
        "quarantine_share": 0.02,
        "early_share": 0.0,
        "quietest_day": 0.8,
    },
    first_release=False,
    champion=CHAMPION,
    popularity=POPULARITY,
    reference_release=CHAMPION_ID,
)


def altered(evidence: Evidence, **changes: Any) -> Evidence:
    """Evidence with other values, including impossible ones."""
    return evidence.model_copy(update=changes)


def with_champion(**changes: Any) -> Evidence:
    return altered(GOOD, champion=CHAMPION.model_copy(update=changes))


def with_contest(**changes: Any) -> Evidence:
    return with_champion(contest=CONTEST.model_copy(update=changes))


def changed(**changes: Any) -> Evidence:
    """A challenger with other code or params."""
    return altered(with_contest(**changes), fingerprint="other")


def check(verdict: Verdict, name: str) -> Check:
    return next(c for c in verdict.checks if c.name == name)


def test_a_refresh_that_is_level_with_the_champion_is_promoted() -> None:
    verdict = gate(GOOD, THRESHOLDS)
    assert verdict.decision == "promote"
    assert all(c.passed for c in verdict.checks)


def test_the_first_release_only_has_to_beat_popularity() -> None:
    assert gate(GOOD.without_champion(), THRESHOLDS).decision == "promote"


def test_a_first_release_that_is_not_shown_to_be_worse_than_popularity_becomes_a_canary() -> None:
    level = altered(GOOD, differences={"popularity": LEVEL}, users=71).without_champion()
    assert gate(level, THRESHOLDS).decision == "canary"
    assert gate(level.with_data(events=10.0), THRESHOLDS).decision == "hold"
    worse = altered(level, differences={"popularity": WORSE})
    assert gate(worse, THRESHOLDS).decision == "reject"


def test_a_refresh_that_is_not_shown_to_be_within_the_margin_is_held() -> None:
    assert gate(with_contest(change=-0.004), THRESHOLDS).decision == "hold"
    assert gate(with_contest(error=0.012), THRESHOLDS).decision == "hold"


def test_a_changed_release_that_is_only_level_is_held() -> None:
    verdict = gate(changed(), THRESHOLDS)
    assert verdict.decision == "hold"
    assert "better (changed code or params)" in verdict.reasons[0]


def test_a_changed_release_that_is_superior_is_promoted() -> None:
    assert gate(changed(change=0.021), THRESHOLDS).decision == "promote"
    assert gate(changed(change=0.019), THRESHOLDS).decision == "hold"


def test_a_release_clearly_worse_than_the_champion_is_rejected() -> None:
    assert gate(with_contest(change=-0.05), THRESHOLDS).decision == "reject"


def test_the_bound_of_the_look_decides() -> None:
    assert gate(changed(change=0.021, bound=2.7), THRESHOLDS).decision == "hold"


def test_a_verdict_says_what_it_could_have_seen_and_what_is_needed() -> None:
    reason = check(gate(changed(error=0.02), THRESHOLDS), "champion").reason
    assert "-5% would have been seen in 80 of 100 windows like this" in reason
    assert "if it is +5% better, about 1,888 more slates (some 551 people) would tell" in reason


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"people": 60}, "40 more people are needed"),
        ({"total_effective": 50.0, "total": 100}, "about 200 more slates are needed"),
        ({"clipped": 0.8}, "the log says too little about 80% of what it would show"),
        ({"clipped": NAN}, "the log says too little"),
    ],
)
def test_a_log_that_says_too_little_holds_and_says_what_is_missing(
    changes: dict[str, Any], told: str
) -> None:
    verdict = gate(with_contest(**changes), THRESHOLDS)
    assert verdict.decision == "hold"
    assert told in check(verdict, "champion.support").reason


def test_nothing_new_since_the_last_look_holds() -> None:
    verdict = gate(with_contest(counted=0, bound=NAN), THRESHOLDS)
    assert verdict.decision == "hold"
    assert "nothing new" in check(verdict, "champion").reason


def test_a_large_loss_on_organic_choices_holds_what_slates_would_promote() -> None:
    lost = Interval(-0.05, -0.08, -0.02)
    assert gate(with_champion(difference=lost), THRESHOLDS).decision == "hold"
    assert gate(with_champion(difference=WORSE), THRESHOLDS).decision == "promote"
    unknown = gate(with_champion(difference=UNKNOWN), THRESHOLDS)
    assert check(unknown, "organic").abstains
    assert unknown.decision == "promote"


@pytest.mark.parametrize(
    ("difference", "decision"), [(LEVEL, "canary"), (WORSE, "reject"), (UNKNOWN, "hold")]
)
def test_a_first_release_must_beat_popularity_beyond_chance(
    difference: Interval, decision: str
) -> None:
    evidence = altered(GOOD, differences={"popularity": difference}).without_champion()
    assert gate(evidence, THRESHOLDS).decision == decision


def test_a_log_that_says_too_little_about_either_release_holds() -> None:
    for side in ("clipped", "other_clipped"):
        verdict = gate(with_contest(**{side: 0.8}), THRESHOLDS)
        assert (verdict.decision, check(verdict, "champion.support").passed) == ("hold", None)
        assert "too little about 80%" in verdict.reasons[0]


def test_a_window_that_the_champion_was_trained_on_holds() -> None:
    assert gate(with_champion(cutoff=1001), THRESHOLDS).decision == "hold"


def test_a_window_that_the_challenger_was_trained_on_holds() -> None:
    assert gate(altered(GOOD, cutoff=1001), THRESHOLDS).decision == "hold"


def test_too_few_users_do_not_promote() -> None:
    first = gate(altered(GOOD, users=99).without_champion(), THRESHOLDS)
    assert (first.decision, check(first, "users").passed) == ("canary", None)
    later = gate(with_contest(people=99), THRESHOLDS)
    assert (later.decision, check(later, "champion.support").passed) == ("hold", None)


@pytest.mark.parametrize(
    "evidence",
    [
        altered(GOOD, first_release=None),
        altered(GOOD, champion=None),
        altered(GOOD, first_release=True),
        altered(GOOD, reference_release=None),
        altered(GOOD, reference_release="b" * 40),
        altered(GOOD, differences={}).without_champion(),
        altered(GOOD, popularity=None),
        altered(GOOD, slices={}, first_release=True, champion=None),
        with_contest(slices={}),
        with_champion(contest=None),
        with_contest(change=NAN),
        with_contest(error=NAN),
        with_contest(bound=NAN),
        with_contest(slices={"new_users": Part({}, 80, NAN, NAN)}),
        with_champion(distinct_items=float("nan")),
    ],
)
def test_missing_evidence_about_the_champion_the_reference_or_a_slice_holds(
    evidence: Evidence,
) -> None:
    verdict = gate(evidence, THRESHOLDS)
    assert verdict.decision == "hold"
    assert any(c.passed is not True for c in verdict.checks)


@pytest.mark.parametrize("name", ["events", "unjoined_share", "quarantine_share"])
@pytest.mark.parametrize("value", [None, float("nan")])
def test_a_missing_data_check_holds(name: str, value: float | None) -> None:
    data = {k: v for k, v in GOOD.data.items() if k != name}
    if value is not None:
        data[name] = value
    verdict = gate(altered(GOOD, data=data), THRESHOLDS)
    assert (verdict.decision, check(verdict, f"data.{name}").passed) == ("hold", None)


@pytest.mark.parametrize(
    ("name", "value"), [("events", 10.0), ("unjoined_share", 0.5), ("quarantine_share", 0.9)]
)
def test_data_out_of_bounds_holds(name: str, value: float) -> None:
    verdict = gate(GOOD.with_data(**{name: value}), THRESHOLDS)
    assert (verdict.decision, check(verdict, f"data.{name}").passed) == ("hold", False)


@pytest.mark.parametrize(
    ("name", "value"), [("coverage", 0.001), ("full_share", 0.5), ("common_share", 0.9)]
)
def test_degenerate_output_is_rejected_and_missing_output_held(name: str, value: float) -> None:
    assert gate(altered(GOOD, output=GOOD.output | {name: value}), THRESHOLDS).decision == "reject"
    missing = {k: v for k, v in GOOD.output.items() if k != name}
    assert gate(altered(GOOD, output=missing), THRESHOLDS).decision == "hold"


def test_lists_that_shrink_to_few_items_beside_the_champions_hold() -> None:
    output = GOOD.output | {"distinct_items": 249}
    assert gate(altered(GOOD, output=output), THRESHOLDS).decision == "hold"


def test_a_slice_that_collapses_holds_and_a_small_slice_is_not_judged() -> None:
    collapsed = Part({}, 80, -0.3, 0.1)
    assert gate(with_contest(slices={"new_users": collapsed}), THRESHOLDS).decision == "hold"
    small = gate(with_contest(slices={"new_users": replace(collapsed, people=10)}), THRESHOLDS)
    assert small.decision == "promote"
    assert check(small, "slice.new_users").abstains
    assert check(small, "slice.new_users").passed is None


@pytest.mark.parametrize(
    ("exposure", "demand", "supply", "passed"),
    [
        (0.004, 0.08, 0.03, True),
        (0.002, 0.08, 0.03, False),
        (0.002, 0.01, 0.03, True),  # hardly anybody wants one
        (0.00, 0.00, 0.03, True),
        (0.85, 0.60, 0.03, True),  # as in news: what they earn decides
        (0.05, NAN, 0.03, None),
        (NAN, 0.08, 0.03, None),
        (0.05, 0.08, NAN, None),
    ],
)
def test_new_items_must_still_be_shown(
    exposure: float, demand: float, supply: float, passed: bool | None
) -> None:
    numbers = {"new_exposure": exposure, "new_demand": demand, "new_supply": supply}
    verdict = gate(altered(GOOD, output=GOOD.output | numbers), THRESHOLDS)
    assert check(verdict, "output.new_exposure").passed is passed
    assert (verdict.decision == "promote") is (passed is True)


def test_small_steps_down_are_stopped_by_the_last_release_that_was_better() -> None:
    reference = CONTEST.model_copy(update={"release": "b" * 40, "change": -0.012, "error": 0.01})
    evidence = altered(GOOD, reference=reference, reference_release="b" * 40)
    verdict = gate(evidence, THRESHOLDS)
    assert verdict.decision == "hold"
    assert "the last release that was shown to be better" in check(verdict, "reference").reason
    near = reference.model_copy(update={"change": 0.006})
    assert gate(altered(evidence, reference=near), THRESHOLDS).decision == "promote"
    unsure = near.model_copy(update={"bound": 2.7})
    assert gate(altered(evidence, reference=unsure), THRESHOLDS).decision == "hold"
    near = reference.model_copy(update={"change": 0.01})
    assert gate(altered(evidence, reference=near), THRESHOLDS).decision == "promote"
    far = reference.model_copy(update={"change": -0.06})
    assert gate(altered(evidence, reference=far), THRESHOLDS).decision == "reject"


def test_a_gate_that_crashes_holds_and_says_so() -> None:
    verdict = gate(altered(GOOD, metrics=None, champion="broken"), THRESHOLDS)
    assert verdict.decision == "hold"
    assert "the gate itself failed" in verdict.reasons[0]


#: Shown to people, or read only where another field says so (`twin`: if the recipe changed).
SHOWN = {"metrics", "queries", "reference", "twin", "twin_equal", "twin_missing", "set_aside"}
#: Read without a champion only.
FIRST = {"users", "differences"}


@pytest.mark.parametrize("missing", [name for name in Evidence.model_fields if name not in SHOWN])
def test_no_field_of_the_evidence_can_be_none_and_still_promote(missing: str) -> None:
    good = GOOD.without_champion() if missing in FIRST else GOOD
    assert gate(altered(good, **{missing: None}), THRESHOLDS).decision == "hold"


def test_every_check_has_a_reason_and_the_verdict_survives_json() -> None:
    for evidence in (GOOD, with_contest(change=-0.1), altered(GOOD, reference_release=None)):
        verdict = gate(evidence, THRESHOLDS)
        assert all(len(c.reason) > 10 for c in verdict.checks)
        assert Verdict.stored(json.loads(json.dumps(verdict.model_dump(mode="json")))) == verdict


def test_whoever_wanted_a_new_item_is_no_slice_of_its_own() -> None:
    """The slice is chosen by the outcome. A model that shows only new items would win there."""
    collapsed = Slice(80, 0.1, Interval(-0.05, -0.08, -0.02))
    first = {"first_release": True, "champion": None}
    by_item = altered(GOOD, slices=GOOD.slices | {"new_items": collapsed}, **first)
    by_user = altered(GOOD, slices=GOOD.slices | {"short_history": collapsed}, **first)
    assert gate(by_item, THRESHOLDS).decision == "promote"
    assert gate(by_user, THRESHOLDS).decision == "hold"
    parts = CONTEST.slices | {"new_items": Part({}, 80, -0.4, 0.1)}
    assert gate(with_contest(slices=parts), THRESHOLDS).decision == "promote"
