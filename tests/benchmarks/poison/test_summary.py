"""Ratios of exposure, and which one counts."""

import math

import pytest

from benchmarks.poison.summary import Key, summary


def release(fakes: int = 0, **shares: float) -> dict[str, object]:
    shown = {item: [share, 0.0] for item, share in shares.items()}
    return {"shown": shown, "reward": 1.0, "fakes": fakes, "aside": fakes}


PLAYED: dict[Key, dict[str, object]] = {
    (0, "clean", "detection"): release(a=0.1, b=0.2, c=0.7),
    (0, "slow", "detection"): release(5, a=0.1, b=0.2, c=0.7),
    (0, "cover", "detection"): release(a=0.2, b=0.2, c=0.6),
    (1, "clean", "detection"): release(a=0.1, b=0.1, c=0.8),
    (1, "cover", "detection"): release(a=0.1, b=0.2, c=0.7),
    (0, "clean", "none"): release(a=0.1, b=0.2, c=0.7),
    (0, "slow", "none"): release(a=0.4, b=0.4, c=0.2),
}
PUSHED = [{"popular": "b", "new": "a"}, {"popular": "b", "new": "a"}]


def test_the_worst_form_against_the_first_defence_counts() -> None:
    found = summary(PLAYED, PUSHED, ["slow", "cover"], ["detection", "none"])
    assert found["worst_form"] == "cover"
    # 2, 1, 1 and 2: the geometric mean, and Student's t with three degrees of freedom
    assert found["poisoning_exposure_ratio"] == pytest.approx(math.sqrt(2))
    low, high = found["interval"]
    assert low * high == pytest.approx(2)
    assert high == pytest.approx(math.exp(math.log(2) * (0.5 + 3.1824 * 0.57735 / 2)), rel=1e-4)
    cover = found["forms"]["cover"]["detection"]
    assert cover["kinds"]["new"]["each"] == pytest.approx([2.0, 1.0])
    assert cover["largest"] == pytest.approx(2.0)
    assert cover["others"]["ratio"] == pytest.approx(math.sqrt(0.6 / 0.7 * 0.7 / 0.8))


def test_what_was_not_played_is_left_out() -> None:
    forms = summary(PLAYED, PUSHED, ["slow", "cover"], ["detection", "none"])["forms"]
    assert forms["slow"]["detection"]["set_aside"] == [5]
    assert forms["slow"]["none"]["ratio"] == pytest.approx(math.sqrt(8))
    assert "none" not in forms["cover"]
