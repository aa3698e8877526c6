"""Evidence is stored as JSON unchanged, the champion is paired by query, and only comparable
windows are pooled."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from base.arrays import Bools
from base.record import Record, RecordError
from features.splits.windows import Windows
from tests.training.test_gate import GOOD, THRESHOLDS, altered, check
from training.bootstrap import UNKNOWN
from training.comparing import compare, compare_past, outside, pooled_interval, share_of
from training.evidence import Evidence
from training.gate import Verdict, gate
from training.judging import Judged

USERS = np.repeat(np.arange(60), 2)
USER_IDS = np.array([f"u{u}" for u in USERS], dtype=object)
EVERY = np.ones(120, dtype=np.bool_)
SLICES = {"new_users": USERS < 30, "new_items": np.zeros(120, dtype=np.bool_)}


def judged(seed: int, lift: float = 0.0) -> Judged:
    random = np.random.default_rng(seed)
    values = random.random(120) + lift
    lists = random.integers(0, 50, size=(120, 10)).astype(np.int32)
    return Judged(USERS, lists, {"ndcg@10": values})


def compared(
    release: str = "champion",
    lift: float = 0.1,
    earlier: tuple[Evidence, ...] = (),
    fair: Bools = EVERY,
) -> Evidence:
    return compare(
        GOOD,
        judged(1, lift),
        judged(1),
        USER_IDS,
        SLICES,
        fair,
        new_share=0.5,
        release=release,
        cutoff=900,
        fingerprint="same",
        seed=1,
        confidence=0.9,
        earlier=earlier,
    )


def test_evidence_survives_json_also_where_values_are_unknown() -> None:
    evidence = altered(compared(), past={"old": UNKNOWN}, past_reference={"old": float("nan")})
    plain = evidence.model_dump(mode="json")
    again = Evidence.stored(json.loads(json.dumps(plain, allow_nan=False)))
    assert again.model_dump(mode="json") == plain
    assert again.past is not None
    assert not again.past["old"].known
    assert np.isnan(again.past_reference["old"])


def test_evidence_of_the_first_releases_is_read(checkout: Path) -> None:
    """It is stored in the operations database. New fields need a default."""
    evidence = Evidence.read(checkout / "tests" / "training" / "evidence_1.json")
    assert evidence.champion is not None
    assert evidence.champion.difference.mean == pytest.approx(0.1)
    assert evidence.past is not None
    assert not evidence.past["old"].known


@pytest.mark.parametrize(
    ("record", "name"), [(Evidence, "evidence_2.json"), (Verdict, "verdict_2.json")]
)
def test_records_of_today_are_read_and_stored_as_they_were(
    checkout: Path, record: type[Record], name: str
) -> None:
    """A change of the stored form fails here. An intended change needs new files."""
    kept = json.loads((checkout / "tests" / "training" / name).read_text())
    assert record.stored(kept).model_dump(mode="json") == kept


@pytest.mark.parametrize("place", [(), ("windows",), ("champion",), ("champion", "difference")])
def test_evidence_with_a_field_of_a_newer_version_is_refused_in_one_line_that_names_it(
    place: tuple[str, ...],
) -> None:
    plain = compared().model_dump(mode="json")
    inner = plain
    for name in place:
        inner = inner[name]
    inner["novel"] = 1.0
    with pytest.raises(RecordError) as caught:
        Evidence.stored(plain)
    told = f"another version of this program wrote it, with {'.'.join([*place, 'novel'])}"
    assert str(caught.value) == f"evidence cannot be read: {told}"


def test_the_champion_is_paired_query_by_query() -> None:
    champion = compared().champion
    assert champion is not None
    assert champion.difference.mean == pytest.approx(0.1)
    assert champion.difference.low == pytest.approx(0.1)
    assert champion.by_user == pytest.approx({f"u{u}": 0.1 for u in range(60)})
    assert champion.slices["new_users"].users == 30
    assert not champion.slices["new_items"].difference.known
    assert champion.new_share == 0.5


def test_the_share_of_a_list_is_of_its_filled_places() -> None:
    lists = np.array([[0, 3, -1], [4, 1, 0]], dtype=np.int32)
    assert share_of(np.arange(5) < 2, lists) == pytest.approx(3 / 5)
    assert share_of(np.arange(5) < 2, np.full((2, 3), -1, dtype=np.int32)) == 0


def test_systems_judged_on_different_queries_are_not_paired() -> None:
    other = replace(judged(1), users=USERS[::-1].copy())
    with pytest.raises(ValueError, match="same queries"):
        judged(1).minus(other, "ndcg@10", seed=1)


def test_earlier_windows_are_pooled_only_with_the_same_champion_and_code() -> None:
    same = compared(lift=0.3)
    other_champion = compared(release="another", lift=0.3)
    other_code = altered(same, fingerprint="changed")
    champion = compared(earlier=(same, other_champion, other_code)).champion
    assert champion is not None
    assert champion.windows_pooled == 2
    assert champion.difference.mean == pytest.approx(0.1)
    assert champion.pooled.mean == pytest.approx(0.2)


def test_a_pool_resamples_users_with_all_their_windows() -> None:
    random = np.random.default_rng(3)
    window = {f"u{i}": float(v) for i, v in enumerate(random.normal(size=80))}
    once = pooled_interval([window], seed=1, confidence=0.9)
    thrice = pooled_interval([window, window, window], seed=1, confidence=0.9)
    assert thrice.low == pytest.approx(once.low)


def test_a_past_release_without_a_score_stays_unknown() -> None:
    evidence = compare_past(
        GOOD, judged(1, 0.1), {"old": judged(1), "gone": None}, EVERY, seed=1, confidence=0.9
    )
    assert evidence.past is not None
    assert evidence.past["old"].mean == pytest.approx(0.1)
    assert not evidence.past["gone"].known
    assert np.isnan(evidence.past_reference["gone"])


def test_moments_of_a_judge_window_are_left_out_and_no_others() -> None:
    own = Windows(start=0, fit_end=5, rank_end=10, judge_end=20)
    moments = np.array([9, 10, 19, 20, 25], dtype=np.int64)
    assert outside(moments, [own]).tolist() == [True, False, False, True, True]
    later = Windows(start=0, fit_end=15, rank_end=20, judge_end=25)
    assert outside(moments, [own, later]).tolist() == [True, False, False, False, True]


def test_what_the_champion_was_chosen_on_decides_nothing() -> None:
    """All queries of the first half of the users lie in that window, where the challenger is far
    worse."""
    challenger, champion, fair = judged(1, 0.1), judged(1), USERS >= 30
    challenger.metrics["ndcg@10"][~fair] -= 5.0
    beside = compare(
        GOOD, challenger, champion, USER_IDS, SLICES, fair,
        0.5, "champion", 900, "same", seed=1, confidence=0.9,
    ).champion  # fmt: skip
    assert beside is not None
    assert beside.difference.mean == pytest.approx(0.1)
    assert beside.pooled.mean == pytest.approx(0.1)
    assert set(beside.by_user) == {f"u{u}" for u in range(30, 60)}
    assert beside.metrics["ndcg@10"].mean == pytest.approx(champion.metrics["ndcg@10"][fair].mean())
    assert (beside.pooled_users, beside.left_out) == (30, 60)
    assert beside.slices["new_users"].users == 0
    past = compare_past(GOOD, challenger, {"old": champion}, fair, seed=1, confidence=0.9).past
    assert past is not None
    assert past["old"].mean == pytest.approx(0.1)


def test_too_few_moments_outside_the_champions_window_hold_and_say_how_many_are_missing() -> None:
    verdict = gate(compared(lift=0.1, fair=USERS >= 30), THRESHOLDS)
    assert verdict.decision == "hold"
    few = check(verdict, "champion.users")
    assert few.passed is None
    assert "compared on 30 users, at least 100 needed: 70 are missing" in few.reason
    assert "60 of 900 queries lie in the judge window" in few.reason
    nobody = gate(compared(lift=0.1, fair=~EVERY), THRESHOLDS)
    assert nobody.decision == "hold"
    assert "100 are missing" in check(nobody, "champion.users").reason
