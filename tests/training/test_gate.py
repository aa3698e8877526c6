"""The gate, rule by rule: a good release, and every way in which it can fail."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from features.splits.windows import Windows
from training.bootstrap import UNKNOWN, Interval
from training.evidence import Champion, Evidence, Slice
from training.gate import Check, Verdict, gate
from training.thresholds import GateParams

METRIC = "ndcg@10"
NAN = math.nan
BETTER = Interval(0.010, 0.004, 0.016)
LEVEL = Interval(0.001, -0.003, 0.005)
WORSE = Interval(-0.010, -0.016, -0.004)
THRESHOLDS = GateParams(delta=0.02)  # of a champion at 0.20: a margin of 0.004

CHAMPION = Champion(
    release="a" * 40,
    cutoff=900,
    fingerprint="same",
    metrics={METRIC: Interval(0.20, 0.18, 0.22)},
    difference=LEVEL,
    pooled=LEVEL,
    windows_pooled=1,
    slices={"new_users": Slice(80, 0.1, LEVEL)},
    distinct_items=500,
    new_share=0.2,
    by_user={},
    pooled_users=400,
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
    },
    data={"events": 50_000.0, "unjoined_share": 0.01, "quarantine_share": 0.02},
    first_release=False,
    champion=CHAMPION,
    past={},
)


def altered(evidence: Evidence, **changes: Any) -> Evidence:
    """Evidence with other values, including impossible ones."""
    return evidence.model_copy(update=changes)


def with_champion(**changes: Any) -> Evidence:
    return altered(GOOD, champion=CHAMPION.model_copy(update=changes))


def with_new_items(share: float, demand: float, champion: float) -> Evidence:
    output = GOOD.output | {"new_share": share, "new_demand": demand}
    return altered(with_champion(new_share=champion), output=output)


def check(verdict: Verdict, name: str) -> Check:
    return next(c for c in verdict.checks if c.name == name)


def test_a_refresh_that_is_level_with_the_champion_is_promoted() -> None:
    verdict = gate(GOOD, THRESHOLDS)
    assert verdict.decision == "promote"
    assert all(c.passed for c in verdict.checks)


def test_the_first_release_only_has_to_beat_popularity() -> None:
    assert gate(GOOD.without_champion(), THRESHOLDS).decision == "promote"
    level = altered(GOOD, differences={"popularity": LEVEL})
    assert gate(level.without_champion(), THRESHOLDS).decision == "hold"


def test_a_refresh_below_the_margin_at_its_lower_bound_is_held() -> None:
    low = Interval(0.001, -0.0041, 0.006)
    assert gate(with_champion(pooled=low, difference=low), THRESHOLDS).decision == "hold"


def test_a_refresh_with_a_negative_estimate_is_held_even_within_the_margin() -> None:
    low = Interval(-0.0001, -0.003, 0.003)
    assert gate(with_champion(pooled=low, difference=low), THRESHOLDS).decision == "hold"


def test_a_changed_release_that_is_only_level_is_held() -> None:
    verdict = gate(altered(GOOD, fingerprint="other"), THRESHOLDS)
    assert verdict.decision == "hold"
    assert "changed code or params" in verdict.reasons[0]


def test_a_changed_release_that_is_superior_is_promoted() -> None:
    better = with_champion(pooled=BETTER, difference=BETTER)
    assert gate(altered(better, fingerprint="other"), THRESHOLDS).decision == "promote"


def test_a_release_clearly_worse_than_the_champion_is_rejected() -> None:
    verdict = gate(with_champion(pooled=WORSE, difference=WORSE), THRESHOLDS)
    assert verdict.decision == "reject"


def test_pooled_windows_do_not_outvote_a_worse_present_window() -> None:
    evidence = with_champion(pooled=BETTER, windows_pooled=3, difference=Interval(-0.001, -1, 1))
    assert gate(evidence, THRESHOLDS).decision == "hold"
    evidence = with_champion(pooled=BETTER, windows_pooled=3, difference=LEVEL)
    assert gate(evidence, THRESHOLDS).decision == "promote"


@pytest.mark.parametrize(
    ("difference", "decision"), [(LEVEL, "hold"), (WORSE, "reject"), (UNKNOWN, "hold")]
)
def test_a_release_must_beat_popularity_beyond_chance(difference: Interval, decision: str) -> None:
    evidence = altered(GOOD, differences={"popularity": difference})
    assert gate(evidence, THRESHOLDS).decision == decision


def test_a_window_that_the_champion_was_trained_on_holds() -> None:
    assert gate(with_champion(cutoff=1001), THRESHOLDS).decision == "hold"


def test_a_window_that_the_challenger_was_trained_on_holds() -> None:
    assert gate(altered(GOOD, cutoff=1001), THRESHOLDS).decision == "hold"


def test_too_few_users_hold() -> None:
    verdict = gate(altered(GOOD, users=99), THRESHOLDS)
    assert (verdict.decision, check(verdict, "users").passed) == ("hold", None)


@pytest.mark.parametrize(
    "evidence",
    [
        altered(GOOD, first_release=None),
        altered(GOOD, champion=None),
        altered(GOOD, first_release=True),
        altered(GOOD, past=None),
        altered(GOOD, differences={}),
        altered(GOOD, slices={}, first_release=True, champion=None),
        with_champion(slices={}),
        with_champion(metrics={}),
        with_champion(difference=UNKNOWN),
        with_champion(pooled=UNKNOWN),
        with_champion(metrics={METRIC: UNKNOWN}),
        with_champion(slices={"new_users": Slice(80, float("nan"), LEVEL)}),
        with_champion(slices={"new_users": Slice(80, 0.1, UNKNOWN)}),
        with_champion(distinct_items=float("nan")),
    ],
)
def test_missing_evidence_about_the_champion_the_past_or_a_slice_holds(evidence: Evidence) -> None:
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
    collapsed = Slice(80, 0.1, Interval(-0.03, -0.05, -0.01))
    assert gate(with_champion(slices={"new_users": collapsed}), THRESHOLDS).decision == "hold"
    small = replace(collapsed, users=10)
    assert gate(with_champion(slices={"new_users": small}), THRESHOLDS).decision == "promote"


@pytest.mark.parametrize(
    ("share", "demand", "champion", "passed"),
    [
        (0.010, 0.08, 0.20, True),  # the champion shows more of them than users want
        (0.006, 0.08, 0.20, False),
        (0.006, 0.08, 0.05, True),
        (0.00, 0.00, 0.20, True),  # nobody wanted one
        (0.05, NAN, 0.20, None),
        (NAN, 0.08, 0.20, None),
        (0.05, 0.08, NAN, None),
    ],
)
def test_new_items_must_still_be_shown(
    share: float, demand: float, champion: float, passed: bool | None
) -> None:
    verdict = gate(with_new_items(share, demand, champion), THRESHOLDS)
    assert check(verdict, "output.new_share").passed is passed
    assert (verdict.decision == "promote") is (passed is True)


@pytest.mark.parametrize(
    ("share", "demand", "champion", "passed"),
    [
        (0.34, 0.17, 0.02, False),
        (0.25, 0.17, 0.02, True),
        (0.10, 0.01, 0.02, True),
        (0.11, 0.01, 0.02, False),
        (0.85, 0.60, 0.02, True),  # as in news
        (0.05, NAN, 0.02, None),
        (NAN, 0.08, 0.02, None),
        (0.05, 0.08, NAN, True),  # the upper bound does not ask what the champion shows
    ],
)
def test_new_items_must_not_be_shown_far_beyond_demand(
    share: float, demand: float, champion: float, passed: bool | None
) -> None:
    verdict = gate(with_new_items(share, demand, champion), THRESHOLDS)
    assert check(verdict, "output.new_share_limit").passed is passed


def test_a_first_release_is_better_than_none_however_many_new_items_it_shows() -> None:
    evidence = with_new_items(0.9, 0.1, 0.2).without_champion()
    assert gate(evidence, THRESHOLDS).decision == "promote"


def test_small_steps_down_are_stopped_by_the_best_past_release() -> None:
    past = {"old": Interval(-0.004, -0.009, 0.001), "older": BETTER}
    evidence = altered(GOOD, past=past, past_reference={"old": 0.21, "older": 0.19})
    verdict = gate(evidence, THRESHOLDS)
    assert verdict.decision == "hold"
    assert "best of 2 past releases" in check(verdict, "past").reason


def test_a_past_release_that_could_not_be_rescored_holds() -> None:
    evidence = altered(GOOD, past={"old": UNKNOWN}, past_reference={"old": 0.2})
    assert gate(evidence, THRESHOLDS).decision == "hold"
    evidence = altered(GOOD, past={"old": BETTER}, past_reference={})
    assert gate(evidence, THRESHOLDS).decision == "hold"


def test_a_gate_that_crashes_holds_and_says_so() -> None:
    verdict = gate(altered(GOOD, metrics=None, champion="broken"), THRESHOLDS)
    assert verdict.decision == "hold"
    assert "the gate itself failed" in verdict.reasons[0]


#: Shown to people, or read only where the field beside it is present.
SHOWN = {"metrics", "queries", "past_reference"}


@pytest.mark.parametrize("missing", [name for name in Evidence.model_fields if name not in SHOWN])
def test_no_field_of_the_evidence_can_be_none_and_still_promote(missing: str) -> None:
    assert gate(altered(GOOD, **{missing: None}), THRESHOLDS).decision == "hold"


def test_every_check_has_a_reason_and_the_verdict_survives_json() -> None:
    for evidence in (GOOD, with_champion(pooled=WORSE), altered(GOOD, past=None)):
        verdict = gate(evidence, THRESHOLDS)
        assert all(len(c.reason) > 10 for c in verdict.checks)
        assert Verdict.stored(json.loads(json.dumps(verdict.model_dump(mode="json")))) == verdict


def test_whoever_wanted_a_new_item_is_no_slice_of_its_own() -> None:
    """The slice is chosen by the outcome. A model that shows only new items would win there."""
    collapsed = Slice(80, 0.1, Interval(-0.05, -0.08, -0.02))
    first = {"first_release": True, "champion": None, "past": {}}
    by_item = altered(GOOD, slices=GOOD.slices | {"new_items": collapsed}, **first)
    by_user = altered(GOOD, slices=GOOD.slices | {"short_history": collapsed}, **first)
    assert gate(by_item, THRESHOLDS).decision == "promote"
    assert gate(by_user, THRESHOLDS).decision == "hold"
    later = with_champion(slices={"new_users": Slice(80, 0.1, LEVEL), "new_items": collapsed})
    assert gate(later, THRESHOLDS).decision == "promote"
