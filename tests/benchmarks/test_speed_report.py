"""The report of the speed benchmark: medians, ratios, and missing values."""

import pytest

from benchmarks.contest import ContestEpoch, ContestOutcome
from benchmarks.speed_report import report, table

RATES = {"float32": 1e9, "bfloat16": 4e9}


def ran(
    precision: str, *epochs: tuple[float, int, float | None], peak: int = 10**9
) -> ContestOutcome:
    """epochs: (seconds, tokens, ndcg) since the start."""
    model = {"parameters": 1000, "flops_per_token": 1e6, "precision": precision, "versions": {}}
    told = [ContestEpoch(number, *epoch) for number, epoch in enumerate(epochs, start=1)]
    return ContestOutcome(model, told, peak)


ROUNDS = {
    "rondo": [ran("bfloat16", (s, 800, None)) for s in (1.0, 2.0, 4.0)],
    "padded": [ran("float32", (4.0, 400, None))],
    "rectools": [ran("float32", (8.0, 400, None))],
}
RONDO = ran("bfloat16", (1.0, 800, 0.1), (2.0, 1600, 0.17), (3.0, 2400, 0.16), peak=3 * 10**9)
PADDED = ran("float32", (5.0, 400, 0.165))
RECTOOLS = ran("float32", (9.0, 400, 0.1), (20.0, 800, 0.168))


def test_speeds_are_those_of_the_race_and_ratios_are_to_rectools() -> None:
    races = {"rondo": RONDO, "padded": PADDED, "rectools": RECTOOLS}
    found = report(ROUNDS, races, RATES, 0.165)
    assert found["tokens_per_second"] == {
        "rondo": 800.0,
        "rondo_float32": None,
        "padded": 80.0,
        "rectools": 40.0,
    }
    assert found["seconds_to_target"] == {
        "rondo": 2.0,
        "rondo_float32": None,
        "padded": 5.0,
        "rectools": 20.0,
    }
    assert (found["ratio_tokens"], found["ratio_seconds"]) == (20.0, 10.0)
    assert (found["ratio_tokens_padded"], found["ratio_seconds_padded"]) == (10.0, 2.5)
    assert (found["ratio_tokens_of"], found["ratio_tokens_rounds"]) == ("races", 8.0)
    assert not found["ratio_seconds_is_lower_bound"]
    rondo = found["contenders"]["rondo"]
    assert rondo["share_of_matmul_rate"] == pytest.approx(0.2)  # 8e8 of 4e9, in its own format
    assert found["contenders"]["rectools"]["share_of_matmul_rate"] == pytest.approx(0.04)
    assert rondo["peak_bytes"] == 3 * 10**9
    lines = table(found).splitlines()
    assert lines[1].split()[:3] == ["rondo", "800", "2.0"]
    assert lines[-2:] == [
        "ratio_tokens: 20.0 times RecTools' (goal 8: met), over the race; 8.0 in rounds",
        "ratio_seconds: 10.0 times RecTools' (goal 5: met)",
    ]


def test_float32_has_ratios_and_bounds_of_its_own() -> None:
    late = ran("float32", (4.0, 400, 0.1), (8.0, 800, 0.11))
    races = {"rondo": RONDO, "rondo_float32": PADDED, "rectools": late}
    found = report(ROUNDS | {"rondo_float32": ROUNDS["padded"]}, races, RATES, 0.165)
    assert (found["ratio_tokens_float32"], found["ratio_seconds_float32"]) == (0.8, 8.0 / 5.0)
    assert found["ratio_seconds_float32_is_lower_bound"]
    assert table(found).splitlines()[-2:] == [
        "ratio_tokens_float32: 0.8 times RecTools' (goal 8: missed), over the race; 2.0 in rounds",
        "ratio_seconds_float32: at least 1.6 times RecTools' (goal 5: not shown)",
    ]


def test_a_contender_that_does_not_reach_the_target_gives_a_lower_bound() -> None:
    late = ran("float32", (4.0, 400, 0.1), (8.0, 800, 0.11))
    found = report(ROUNDS, {"rondo": RONDO, "rectools": late}, RATES, 0.165)
    assert found["seconds_to_target"] == {
        "rondo": 2.0,
        "rondo_float32": None,
        "padded": None,
        "rectools": None,
    }
    assert found["ratio_seconds"] == 4.0
    assert found["ratio_seconds_is_lower_bound"]
    assert found["ratio_seconds_padded"] is None
    assert "not in 8.0" in table(found)
    assert table(found).endswith("ratio_seconds: at least 4.0 times RecTools' (goal 5: not shown)")


def test_a_race_is_never_compared_with_rounds() -> None:
    found = report(ROUNDS, {"rondo": RONDO}, RATES, 0.165)
    assert (found["ratio_tokens"], found["ratio_tokens_of"]) == (8.0, "rounds")
    line = "ratio_tokens: 8.0 times RecTools' (goal 8: met), over rounds: a race says more"
    assert line in table(found).splitlines()
    raced = report({}, {"rondo": RONDO, "rectools": RECTOOLS}, RATES, 0.165)
    assert "(goal 8: met), over the race\n" in table(raced)
    assert raced["ratio_tokens_rounds"] is None


def test_where_rondo_does_not_reach_the_target_there_is_no_ratio() -> None:
    found = report(ROUNDS, {"rondo": RONDO, "rectools": RECTOOLS}, RATES, 0.5)
    assert found["seconds_to_target"]["rondo"] is None
    assert found["ratio_seconds"] is None
    assert not found["ratio_seconds_is_lower_bound"]
    assert table(found).endswith("ratio_seconds: unknown (goal 5)")


def test_an_unranked_epoch_reaches_nothing() -> None:
    assert ran("float32", (1.0, 1, None)).reached(0.0) is None


def test_a_report_can_be_written_before_anything_has_raced() -> None:
    found = report({"rondo": ROUNDS["rondo"]}, {}, RATES, 0.165)
    assert found["tokens_per_second"] == {
        "rondo": 400.0,
        "rondo_float32": None,
        "padded": None,
        "rectools": None,
    }
    assert list(found["contenders"]) == ["rondo"]
    assert found["ratio_tokens"] is None
    assert len(table(found).splitlines()) == 5
