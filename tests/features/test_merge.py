"""Merging two views into one history."""

from features.merge import UserHistory, merge, newest


def test_events_in_both_views_count_once() -> None:
    batch = UserHistory(["a", "b"], [1, 1], [10, 20])
    live = UserHistory(["b", "c"], [1, 1], [20, 30])
    merged = merge(batch, live, 10)
    assert merged == UserHistory(["a", "b", "c"], [1, 1, 1], [10, 20, 30], [])


def test_the_same_item_at_the_same_time_by_another_event_stays() -> None:
    merged = merge(UserHistory(["a"], [1], [10]), UserHistory(["a"], [4], [10]), 10)
    assert list(merged.event_types) == [1, 4]


def test_late_live_events_take_their_place_in_time_and_the_newest_are_kept() -> None:
    batch = UserHistory(["a", "c"], [1, 1], [10, 30])
    merged = merge(batch, UserHistory(["b"], [1], [20]), 2)
    assert list(merged.items) == ["b", "c"]


def test_without_live_events_the_batch_history_is_cut_to_its_newest() -> None:
    merged = merge(UserHistory(["a", "b", "c"], [1, 1, 1], [1, 2, 3], ["h"]), UserHistory(), 2)
    assert merged == UserHistory(["b", "c"], [1, 1], [2, 3], ["h"])


def test_hidden_items_of_both_views_are_hidden() -> None:
    merged = merge(UserHistory(hidden=["x"]), UserHistory(hidden=["y", "x"]), 5)
    assert list(merged.hidden) == ["x", "y"]


def test_what_happened_at_the_moment_or_later_is_left_out_before_the_newest_are_counted() -> None:
    entries = [(10, "a", 1), (30, "c", 1), (20, "b", 1), (20, "b", 1)]
    assert newest(entries, 2, before=30) == [(10, "a", 1), (20, "b", 1)]
    assert newest(entries, 1, before=30) == [(20, "b", 1)]
    assert newest(entries, 0) == []


def test_entries_of_one_moment_stay_in_the_order_in_which_they_came() -> None:
    entries = [(10, 7, 1), (10, 3, 1), (5, 9, 1)]
    assert newest(entries, 9) == [(5, 9, 1), (10, 7, 1), (10, 3, 1)]
