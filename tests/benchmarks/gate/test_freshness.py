"""What newer data do for an equal recipe, from comparisons in several worlds."""

from benchmarks.gate.freshness import Case, Compared, summary


def case(seed: int, challenger: str, fresher: float, luck: float) -> Case:
    """A challenger whose newer data are worth `fresher`, and its seed `luck`."""
    champion = Compared(fresher + luck, 0.02, fresher + luck)
    return Case(seed, 1, challenger, 2000, champion, Compared(luck, 0.01, luck))


def test_the_luck_of_a_seed_cancels_and_a_world_counts_once() -> None:
    cases = [case(1, "a", 0.08, 0.03), case(1, "b", 0.08, 0.05), case(2, "a", 0.12, -0.04)]
    told = summary(cases, 2.2)
    assert told["1 days, newer data"]["mean"] == 0.1
    assert told["1 days, newer data"]["count"] == 2
    assert told["1 days, twin"]["change"]["mean"] == 0.0
    assert told["1 days, champion"]["change"]["mean"] == 0.1
    assert [told[f"1 days, {name}"]["superior"] for name in ("champion", "twin")] == [3, 2]
