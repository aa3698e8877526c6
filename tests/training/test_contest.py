"""Looks at one champion: which slates count, how they are pooled, and how often they err."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from base.arrays import Bools, Objects
from features.splits.windows import Windows
from tests.training.test_gate import CHAMPION, GOOD, altered, check
from training.contest import Scores, contest, popularity_beside
from training.evidence import Contest, Evidence
from training.gate import gate
from training.thresholds import GateParams

THRESHOLDS = GateParams(min_users=20, min_effective=20.0)
DAY = 1000


def people(count: int, prefix: str = "u") -> Objects:
    return np.array([f"{prefix}{i}" for i in range(count)], dtype=object)


def scores(
    day: int, users: int = 200, lift: float = 0.0, seed: int = 0, slates: int = 3, **fields: Any
) -> Scores:
    """A day of slates on which the challenger earns `lift` more than the champion."""
    random = np.random.default_rng([seed, day])
    other = random.gamma(1.0, 1.5, size=users * slates)
    mine = other * (1 + lift) + random.normal(0.0, 0.8, size=users * slates)
    ids = np.repeat(people(users, f"d{day}-"), slates)
    times = np.full(len(ids), day * DAY + 500)
    halves: dict[str, Bools] = {"first_half": np.arange(len(ids)) < len(ids) // 2}
    return Scores("slates", ids, times, mine, other, halves, **fields)


def evidence_of(day: int, fingerprint: str = "same") -> Evidence:
    windows = Windows(start=0, fit_end=0, rank_end=day * DAY, judge_end=(day + 1) * DAY)
    return altered(GOOD, windows=windows, cutoff=day * DAY, fingerprint=fingerprint)


def look(
    given: Scores,
    day: int,
    earlier: list[Evidence],
    fingerprint: str = "same",
    thresholds: GateParams = THRESHOLDS,
) -> Evidence:
    """The evidence of a challenger that is judged on `day`."""
    evidence = evidence_of(day, fingerprint)
    every = np.ones(len(given.timestamps), dtype=np.bool_)
    end = (day + 1) * DAY
    met = contest(given, CHAMPION.release, every, end, evidence, earlier, thresholds)
    return altered(evidence, champion=altered_champion(met))


def altered_champion(met: Contest) -> Any:
    return CHAMPION.model_copy(update={"contest": met, "cutoff": 0})


def contest_of(evidence: Evidence) -> Contest:
    assert evidence.champion is not None
    assert evidence.champion.contest is not None
    return evidence.champion.contest


def test_the_change_is_that_of_the_sums_and_its_error_that_of_users() -> None:
    given = scores(1, users=500, lift=0.2)
    met = contest_of(look(given, 1, []))
    assert met.change == pytest.approx(given.challenger.sum() / given.other.sum() - 1)
    draws = [contest_of(look(scores(1, 500, 0.2, seed), 1, [])).change for seed in range(200)]
    assert met.error == pytest.approx(np.std(draws), rel=0.2)


def test_looks_with_the_same_code_and_params_are_pooled() -> None:
    first = look(scores(1), 1, [])
    second = look(scores(2), 2, [first])
    met = contest_of(second)
    assert (met.people, met.counted, met.total, met.number) == (400, 600, 1200, 2)
    assert met.error == pytest.approx(contest_of(first).error / math.sqrt(2), rel=0.1)
    assert met.slices["first_half"].people == 200
    assert len(met.looks) == 1


def test_looks_of_another_recipe_are_not_pooled_but_spend_of_the_same_rate() -> None:
    first = look(scores(1), 1, [], fingerprint="other")
    met = contest_of(look(scores(2), 2, [first]))
    assert (met.people, met.number, met.looks) == (200, 2, ())
    alone = contest_of(look(scores(2), 2, []))
    assert met.bound > alone.bound


def test_looks_at_another_champion_are_not_pooled() -> None:
    first = look(scores(1), 1, [])
    elsewhere = contest_of(first).model_copy(update={"release": "b" * 40})
    met = contest_of(look(scores(2), 2, [altered(first, champion=altered_champion(elsewhere))]))
    assert (met.people, met.number) == (200, 1)


def test_a_slate_counts_once_however_much_windows_overlap() -> None:
    first = look(scores(1), 1, [])
    both = Scores(
        "slates",
        *(
            np.concatenate([getattr(scores(day), name) for day in (1, 2)])
            for name in ("user_ids", "timestamps", "challenger", "other")
        ),
    )
    met = contest_of(look(both, 2, [first]))
    assert (met.counted, met.total, met.people) == (600, 1200, 400)


def test_slates_that_were_open_at_a_look_count_at_the_next() -> None:
    """The first look ends with its last closed slate, before the end of its window."""
    first = look(scores(1), 1, [])
    late = replace(scores(2), timestamps=np.full(600, 2 * DAY - 100))
    met = contest_of(look(late, 2, [first]))
    assert (met.counted, met.total) == (600, 1200)


def test_without_new_slates_a_look_spends_nothing_and_decides_nothing() -> None:
    first = look(scores(1), 1, [])
    again = look(scores(1), 1, [first])
    assert contest_of(again).counted == 0
    assert math.isnan(contest_of(again).bound)
    assert gate(again, THRESHOLDS).decision == "hold"
    third = contest_of(look(scores(2), 2, [first, again]))
    assert (third.total, len(third.looks)) == (1200, 1)


def test_slates_that_the_champion_was_chosen_on_do_not_count() -> None:
    given = scores(1)
    fair = np.arange(len(given.timestamps)) >= 300
    met = contest(given, CHAMPION.release, fair, 2 * DAY, evidence_of(1), [], THRESHOLDS)
    assert (met.counted, met.people) == (300, 100)


def test_two_equal_releases_have_no_error_and_a_refresh_passes() -> None:
    given = scores(1)
    same = Scores("slates", given.user_ids, given.timestamps, given.other, given.other,
                  given.slices)  # fmt: skip
    verdict = gate(look(same, 1, []), THRESHOLDS)
    assert check(verdict, "champion").passed is True


def popular(
    day: int, evidence: Evidence, earlier: list[Evidence], users: int, lead: float, seed: int
) -> Evidence:
    """With the contest with recency-popularity, which earns so much less."""
    given = scores(day, users, lead, seed + 1000)
    every, end = np.ones(len(given.timestamps), dtype=np.bool_), (day + 1) * DAY
    name = popularity_beside(CHAMPION.release)
    met = contest(given, name, every, end, evidence, earlier, THRESHOLDS)
    return altered(evidence, popularity=met, users=users)


def run(
    lift: float, fingerprint: str, seed: int, users: int, lead: float | None, looks: int = 20
) -> int | None:
    """The look at which challengers with `lift` are promoted over one champion, from 1, by the
    thresholds of params.yaml. lead: the same over recency-popularity; None: it is far behind."""
    earlier: list[Evidence] = []
    for day in range(1, looks + 1):
        evidence = look(scores(day, users, lift, seed), day, earlier, fingerprint)
        if lead is not None:
            evidence = popular(day, evidence, earlier, users, lead, seed)
        earlier.append(evidence)
        if gate(earlier[-1], GateParams()).decision == "promote":
            return day
    return None


def test_equal_releases_are_rarely_promoted_in_twenty_looks() -> None:
    """At most 5 %, so of 50 runs at most 8 promote (0.999 quantile)."""
    assert sum(run(0.0, "other", seed, 100, None) is not None for seed in range(50)) <= 8


def test_a_log_of_twenty_judged_users_a_day_gets_its_verdict_within_twenty_retrains() -> None:
    """A refresh that is 10 % better than the champion that grew old, and a recipe that is 20 %
    better, are promoted; a refresh that is 10 % worse is not, nor what popularity equals."""
    assert sum(run(0.1, "same", seed, 20, 0.5) is not None for seed in range(10)) >= 9
    assert sum(run(0.2, "other", seed, 20, 0.5) is not None for seed in range(10)) >= 9
    assert sum(run(-0.1, "same", seed, 20, 0.5) is not None for seed in range(5)) == 0
    assert sum(run(0.2, "other", seed, 20, lead=0.0) is not None for seed in range(5)) <= 1
