"""How reasons are printed."""

from flows import reasons


def test_the_most_frequent_reason_comes_first_and_the_rest_is_summed_up() -> None:
    counts = {"a": 1, "b": 5, "c": 2, "d": 2}
    assert list(reasons.lines(counts, limit=2)) == ["  5 × b", "  2 × c", "  3 × 2 more reasons"]


def test_a_reason_that_quotes_a_terminal_code_is_shown_without_it() -> None:
    (told,) = reasons.lines({"unknown event_type '\x1b[2J\n" + "x" * 500: 1})
    assert told.startswith("  1 × unknown event_type '?[2J?xxx")
    assert len(told) < 140
