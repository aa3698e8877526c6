"""The gate beside a champion: recency-popularity over all looks."""

from typing import Any

from tests.training.test_gate import (
    CHAMPION,
    CONTEST,
    GOOD,
    NAN,
    POPULARITY,
    THRESHOLDS,
    altered,
    check,
)
from training.evidence import Evidence
from training.gate import gate


def with_popularity(basis: str = "slates", **changes: Any) -> Evidence:
    return altered(GOOD, popularity=POPULARITY.model_copy(update={"basis": basis, **changes}))


def test_beside_a_champion_popularity_is_met_over_all_looks() -> None:
    """Few users of one window hold nothing, and few of all looks do."""
    few = altered(with_popularity(), users=5, differences={})
    assert gate(few, THRESHOLDS).decision == "promote"
    held = gate(with_popularity(people=99), THRESHOLDS)
    assert (held.decision, check(held, "popularity.support").passed) == ("hold", None)
    assert "1 more people" in held.reasons[0]
    assert gate(with_popularity(change=0.1), THRESHOLDS).decision == "hold"
    other = altered(with_popularity(change=0.11), champion=CHAMPION.model_copy(
        update={"contest": CONTEST.model_copy(update={"change": 0.1})}
    ))  # fmt: skip
    assert gate(other, THRESHOLDS).decision == "promote"
    assert gate(altered(other, fingerprint="other"), THRESHOLDS).decision == "hold"
    assert gate(with_popularity(change=NAN), THRESHOLDS).decision == "hold"


def test_only_slates_reject_what_popularity_beats_if_slates_decide() -> None:
    worse = {"change": -0.2, "error": 0.05}
    assert gate(with_popularity(**worse), THRESHOLDS).decision == "reject"
    assert gate(with_popularity("organic", **worse), THRESHOLDS).decision == "hold"
    near = gate(with_popularity("organic", change=-0.05, error=0.01), THRESHOLDS)
    assert (near.decision, check(near, "popularity").passed) == ("promote", True)
    unknown = gate(with_popularity("organic", change=NAN), THRESHOLDS)
    assert (unknown.decision, check(unknown, "popularity").abstains) == ("promote", True)
    organic = CHAMPION.model_copy(
        update={"contest": CONTEST.model_copy(update={"basis": "organic"})}
    )
    evidence = altered(with_popularity("organic", **worse), champion=organic)
    assert gate(evidence, THRESHOLDS).decision == "reject"
