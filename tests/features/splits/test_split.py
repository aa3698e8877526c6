"""Windows, index order and queries of a log."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from base.params import ParamsError, build
from features.event_log import LogError
from features.schema import DAY, HOUR, MINUTE
from features.splits.split import split
from features.splits.windowing import Organic, SplitError, SplitParams, choose_windows
from tests.features.logs import START, at, event, item, random_log, write_log

PARAMS = SplitParams(min_targets=1, rank_days=1.0, judge_days=1.0, max_queries_per_user=2)


def run(folder: Path, out: Path, params: SplitParams = PARAMS, repeats: bool = False) -> Path:
    out.mkdir()
    split(folder, out, params, repeats)
    return out


def rows(out: Path, name: str) -> list[dict[str, object]]:
    result: list[dict[str, object]] = pq.read_table(out / f"{name}.parquet").to_pylist()
    return result


def base() -> list[dict[str, object]]:
    """Enough organic events for a fit window, on days 0 and 1."""
    return [event(f"b{n}", "a", f"i{n}", at(0, n)) for n in range(3)]


def one_user_each(timestamps: NDArray[np.int64]) -> Organic:
    return Organic(timestamps, np.arange(len(timestamps)))


def test_windows_span_their_days_when_there_is_enough_feedback() -> None:
    organic = np.arange(START, START + 10 * DAY, HOUR)
    windows = choose_windows(
        START, START + 10 * DAY, one_user_each(organic), SplitParams(min_targets=5, min_users=0)
    )
    assert windows.judge_end == START + 10 * DAY + 1
    assert windows.judge_end - windows.rank_end == DAY
    assert windows.rank_end - windows.fit_end == DAY


def test_windows_reach_back_until_they_hold_enough_targets() -> None:
    organic = np.arange(START, START + 10 * DAY, DAY)
    windows = choose_windows(
        START, int(organic[-1]), one_user_each(organic), SplitParams(min_targets=3)
    )
    assert ((organic >= windows.rank_end) & (organic < windows.judge_end)).sum() == 3
    assert ((organic >= windows.fit_end) & (organic < windows.rank_end)).sum() == 3


def test_windows_reach_back_until_they_hold_enough_users() -> None:
    organic = Organic(START + HOUR * np.arange(2000), np.arange(2000) // 30)
    params = SplitParams(min_targets=1, min_users=3)
    windows = choose_windows(START, int(organic.timestamps[-1]), organic, params)
    for begin, end in ((windows.rank_end, windows.judge_end), (windows.fit_end, windows.rank_end)):
        inside = (organic.timestamps >= begin) & (organic.timestamps < end)
        assert len(set(organic.users[inside])) == 3


def test_windows_take_no_more_than_their_share_to_find_users() -> None:
    organic = Organic(START + HOUR * np.arange(2000), np.zeros(2000, dtype=np.int64))
    params = SplitParams(min_targets=1, min_users=3)
    windows = choose_windows(START, int(organic.timestamps[-1]), organic, params)
    assert (organic.timestamps >= windows.rank_end).sum() == 200


def test_a_log_without_room_for_a_fit_window_is_refused_in_words() -> None:
    organic = np.arange(START, START + 4 * DAY, DAY)
    with pytest.raises(SplitError, match=r"4 organic positive events.*split\.min_targets"):
        choose_windows(START, int(organic[-1]), one_user_each(organic), SplitParams(min_targets=3))


def test_an_empty_folder_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="ingest events first"):
        run(tmp_path / "nothing", tmp_path / "out")


def test_the_index_of_an_older_log_is_a_prefix_of_a_newer_one(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", [*base(), event("z", "z", "z9", at(5))], [item("i0")])
    before = run(log, tmp_path / "before")
    # The same day, received later: ids that sort first must still come last.
    write_log(log, [event("n", "A", "A", at(5, 1)), event("m", "A", "i1", at(6))], first=100)
    after = run(log, tmp_path / "after")
    for name, key in (("items", "item_id"), ("users", "user_id")):
        old = [row[key] for row in rows(before, name)]
        new = [row[key] for row in rows(after, name)]
        assert new[: len(old)] == old
        assert new[len(old) :] == ["A"]


def test_the_newest_version_of_an_item_known_by_then_wins(tmp_path: Path) -> None:
    versions = [
        item("i0", at(0), title="old"),
        item("i0", at(1), title="new"),
        item("i0", at(9), title="announced later"),
        item("soon", at(9), title="first"),
    ]
    log = write_log(tmp_path / "log", [*base(), event("z", "z", "i0", at(5))], versions)
    titles = {row["item_id"]: row["title"] for row in rows(run(log, tmp_path / "out"), "items")}
    assert titles["i0"] == "new"
    assert titles["soon"] == "first"


def test_an_item_that_is_sent_again_was_known_before(tmp_path: Path) -> None:
    versions = [item("i0", at(0), title="same"), item("i0", at(3), title="same")]
    log = write_log(tmp_path / "log", [*base(), event("z", "z", "i0", at(5))], versions)
    known = {row["item_id"]: row for row in rows(run(log, tmp_path / "out"), "items")}["i0"]
    assert int(known["first_known"].timestamp() * 1e6) == at(0)
    assert int(known["received_at"].timestamp() * 1e6) == at(3)


def test_an_item_known_only_from_events_exists_from_its_first_event(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log", [*base(), event("z", "z", "i0", at(5))])
    items = pq.read_table(run(log, tmp_path / "out") / "items.parquet")
    created = items["created_at"].cast("int64").to_pylist()
    assert dict(zip(items["item_id"].to_pylist(), created, strict=True))["i2"] == at(0, 2)


def test_an_event_counts_once_when_it_was_sent_three_times(tmp_path: Path) -> None:
    again = [event("z", "z", "i0", at(5), received_at=at(5, n)) for n in (2, 0, 1)]
    out = run(write_log(tmp_path / "log", [*base(), *again]), tmp_path / "out")
    found = [row for row in rows(out, "events") if row["timestamp"] == at(5)]
    assert [row["received_at"] for row in found] == [at(5, 0)]


def test_events_of_one_moment_are_one_query_without_items_seen_before(tmp_path: Path) -> None:
    judged = [
        event("j0", "a", "i0", at(5)),  # seen on day 0
        event("j1", "a", "new1", at(5)),
        event("j2", "a", "new2", at(5)),
    ]
    log = write_log(tmp_path / "log", [*base(), event("r", "b", "i1", at(3, 12)), *judged])
    ids = [row["item_id"] for row in rows(run(log, tmp_path / "out"), "items")]
    queries = [row for row in rows(tmp_path / "out", "queries") if row["window"] == "judge"]
    assert [{ids[i] for i in row["targets"]} for row in queries] == [{"new1", "new2"}]  # type: ignore[attr-defined]
    repeats = run(log, tmp_path / "repeats", repeats=True)
    queries = [row for row in rows(repeats, "queries") if row["window"] == "judge"]
    assert [{ids[i] for i in row["targets"]} for row in queries] == [{"new1", "new2", "i0"}]  # type: ignore[attr-defined]


def test_a_busy_user_gives_the_allowed_number_of_queries_evenly_spaced(tmp_path: Path) -> None:
    busy = [event(f"j{n}", "a", f"n{n}", at(4, n + 1)) for n in range(6)]
    log = write_log(tmp_path / "log", [*base(), event("r", "b", "i1", at(3)), *busy])
    queries = rows(run(log, tmp_path / "out"), "queries")
    times = [row["timestamp"] for row in queries if row["window"] == "judge"]
    assert times == [at(4, 3), at(4, 6)]


def test_a_busy_log_gives_the_allowed_number_of_queries_of_a_kind_evenly_spaced(
    tmp_path: Path,
) -> None:
    log = random_log(tmp_path / "log", days=4, per_day=200)
    every = rows(run(log, tmp_path / "every", SplitParams(min_targets=20)), "queries")
    few = rows(run(log, tmp_path / "few", SplitParams(min_targets=20, max_queries=7)), "queries")

    def of(found: list[dict[str, object]]) -> dict[object, list[object]]:
        times: dict[object, list[object]] = {}
        for row in found:
            times.setdefault((row["window"], row["kind"]), []).append(row["timestamp"])
        return times

    assert [row["query"] for row in few] == list(range(len(few)))
    assert of(few).keys() == of(every).keys()
    assert len(of(few)) == 4
    for kind, times in of(few).items():
        before = of(every)[kind]
        assert len(before) > 14
        assert times == [before[-(-(n + 1) * len(before) // 7) - 1] for n in range(7)]


def test_a_slate_is_a_query_once_its_attribution_window_is_closed(tmp_path: Path) -> None:
    def slate(name: str, time: int) -> list[dict[str, object]]:
        slots = [{"request_id": name, "position": p, "propensity": 0.5} for p in range(3)]
        shown = [
            event(f"{name}{p}", "a", f"s{p}", time, event_type="impression", **slots[p])
            for p in range(3)
        ]
        return [*shown, event(f"{name}c", "a", "s1", time + MINUTE, **slots[1])]

    rest = [event("r", "b", "i1", at(3)), event("j", "b", "i2", at(5) - 1)]
    log = write_log(
        tmp_path / "log",
        [*base(), *slate("closed", at(3, 2)), *slate("open", at(4) - MINUTE), *rest],
    )
    out = run(log, tmp_path / "out")
    ids = [row["item_id"] for row in rows(out, "items")]
    found = [row for row in rows(out, "queries") if row["kind"] == "slate"]
    assert [row["timestamp"] for row in found] == [at(3, 2)]
    assert [ids[i] for i in found[0]["shown"]] == ["s0", "s1", "s2"]  # type: ignore[attr-defined]
    assert [ids[i] for i in found[0]["targets"]] == ["s1"]  # type: ignore[attr-defined]


def test_a_click_after_the_attribution_window_is_not_the_slates(tmp_path: Path) -> None:
    slot = {"request_id": "q", "position": 0, "propensity": 0.5}
    shown = event("q0", "a", "s0", at(3), event_type="impression", **slot)
    late = event("q0c", "a", "s0", at(3, 2), **slot)
    log = write_log(tmp_path / "log", [*base(), shown, late, event("j", "b", "i2", at(5))])
    params = SplitParams(min_targets=1, attribution_minutes=60)
    impressions = rows(run(log, tmp_path / "out", params), "impressions")
    assert [row["clicked"] for row in impressions] == [False]


def test_low_ratings_are_not_positive(tmp_path: Path) -> None:
    stars = [
        event(f"s{n}", "b", f"m{n}", at(3, n), event_type="rating", value=float(n))
        for n in range(1, 6)
    ]
    log = write_log(tmp_path / "log", [*base(), *stars, event("j", "b", "i2", at(5))])
    out = run(log, tmp_path / "out", SplitParams(min_targets=1, min_rating=4.0))
    values = [row["value"] for row in rows(out, "events") if row["value"] is not None]
    assert values == [4.0, 5.0]


def test_the_same_log_gives_the_same_bytes(tmp_path: Path) -> None:
    log = random_log(tmp_path / "log")
    params = SplitParams(min_targets=5)
    first, second = (run(log, tmp_path / name, params) for name in ("first", "second"))
    names = sorted(path.name for path in first.iterdir())
    assert "queries.parquet" in names
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


@pytest.mark.parametrize(
    ("key", "least"), [("rank_days", 0), ("min_targets", 0), ("history_length", 1)]
)
def test_a_split_that_cannot_be_meant_is_refused(key: str, least: int) -> None:
    with pytest.raises(ParamsError, match=rf"'split\.{key}' must be at least {least}, not -1"):
        build(SplitParams, "split", {key: -1})
