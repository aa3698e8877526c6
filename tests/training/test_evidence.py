"""Evidence is stored as JSON unchanged, the champion is paired by query, and only comparable
windows are pooled."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from base.arrays import Bools
from features.splits.windows import Windows
from tests.training.test_gate import CONTEST, GOOD, altered
from training.comparing import compare, outside, share_of
from training.evidence import Evidence
from training.gate import Verdict
from training.judging import Judged

USERS = np.repeat(np.arange(60), 2)
EVERY = np.ones(120, dtype=np.bool_)
OWN = altered(GOOD, cutoff=900)


def judged(seed: int, lift: float = 0.0) -> Judged:
    random = np.random.default_rng(seed)
    values = random.random(120) + lift
    lists = random.integers(0, 50, size=(120, 10)).astype(np.int32)
    return Judged(USERS, lists, {"ndcg@10": values})


def compared(lift: float = 0.1, fair: Bools = EVERY) -> Evidence:
    return compare(GOOD, judged(1, lift), judged(1), fair, OWN, CONTEST, seed=1, confidence=0.9)


def test_evidence_survives_json_also_where_values_are_unknown() -> None:
    unknown = CONTEST.model_copy(update={"change": float("nan"), "bound": float("nan")})
    plain = altered(compared(), reference=unknown).model_dump(mode="json")
    again = Evidence.stored(json.loads(json.dumps(plain, allow_nan=False)))
    assert again.model_dump(mode="json") == plain
    assert again.reference is not None
    assert np.isnan(again.reference.bound)


@pytest.mark.parametrize("name", ["evidence_1.json", "evidence_2.json"])
def test_evidence_of_earlier_versions_is_read(checkout: Path, name: str) -> None:
    """It is stored in the operations database. New fields need a default."""
    evidence = Evidence.read(checkout / "tests" / "training" / name)
    assert evidence.champion is not None
    assert evidence.champion.contest is None


def test_a_verdict_of_an_earlier_version_is_read(checkout: Path) -> None:
    verdict = Verdict.read(checkout / "tests" / "training" / "verdict_2.json")
    assert not any(check.abstains or check.canary for check in verdict.checks)


def test_the_champion_is_paired_query_by_query() -> None:
    champion = compared().champion
    assert champion is not None
    assert champion.difference.mean == pytest.approx(0.1)
    assert champion.difference.low == pytest.approx(0.1)
    assert (champion.release, champion.cutoff) == (CONTEST.release, 900)


def test_the_share_of_a_list_is_of_its_filled_places() -> None:
    lists = np.array([[0, 3, -1], [4, 1, 0]], dtype=np.int32)
    assert share_of(np.arange(5) < 2, lists) == pytest.approx(3 / 5)
    assert share_of(np.arange(5) < 2, np.full((2, 3), -1, dtype=np.int32)) == 0


def test_systems_judged_on_different_queries_are_not_paired() -> None:
    other = replace(judged(1), users=USERS[::-1].copy())
    with pytest.raises(ValueError, match="same queries"):
        judged(1).minus(other, "ndcg@10", seed=1)


def test_moments_of_a_judge_window_are_left_out_and_no_others() -> None:
    own = Windows(start=0, fit_end=5, rank_end=10, judge_end=20)
    moments = np.array([9, 10, 19, 20, 25], dtype=np.int64)
    assert outside(moments, [own]).tolist() == [True, False, False, True, True]
    later = Windows(start=0, fit_end=15, rank_end=20, judge_end=25)
    assert outside(moments, [own, later]).tolist() == [True, False, False, False, True]


def test_queries_that_the_champion_was_chosen_on_are_left_out() -> None:
    """All queries of the first half of the users lie in that window, where the challenger is far
    worse."""
    challenger, champion, fair = judged(1, 0.1), judged(1), USERS >= 30
    challenger.metrics["ndcg@10"][~fair] -= 5.0
    beside = compare(GOOD, challenger, champion, fair, OWN, CONTEST, 1, 0.9).champion
    assert beside is not None
    assert beside.difference.mean == pytest.approx(0.1)
    assert beside.metrics["ndcg@10"].mean == pytest.approx(champion.metrics["ndcg@10"][fair].mean())
    assert beside.left_out == 60
