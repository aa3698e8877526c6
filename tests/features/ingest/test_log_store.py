"""Validation and the partitioned log: every row is stored or quarantined."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.ingest import read_source, store_events, store_items, store_users
from features.ingest.log_store import part_start
from features.schema import EVENT, HOUR, ITEM
from tests.features.logs import START, at, event, item, table

NOW = at(20)


def batch(*rows: dict[str, Any]) -> pa.Table:
    return table(list(rows), EVENT)


def loose(**columns: Any) -> pa.Table:
    """One event with values as a careless source gives them."""
    row = {"event_id": "e", "user_id": "u", "item_id": "i", "event_type": "click"}
    return pa.table({k: [v] for k, v in (row | {"timestamp": START} | columns).items()})


def stored(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("events/dt=*/*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"user_id": None}, "user_id is missing"),
        ({"user_id": "  "}, "user_id is missing"),
        ({"item_id": None}, "item_id is missing"),
        ({"event_type": None}, "event_type is missing"),
        ({"event_type": "stare"}, "unknown event_type 'stare'"),
        ({"timestamp": "yesterday"}, "timestamp is missing or not a time"),
        ({"timestamp": None}, "timestamp is missing or not a time"),
        ({"timestamp": -5}, "timestamp is before 1971; it may be unset or in another unit"),
        ({"timestamp": NOW + HOUR}, "timestamp is in the future"),
        ({"received_at": NOW + HOUR}, "received_at is in the future"),
        ({"value": "much"}, "value is not a finite number"),
        ({"value": float("nan")}, "value is not a finite number"),
        ({"value": float("inf")}, "value is not a finite number"),
        ({"event_type": "rating"}, "a rating has no value"),
        ({"position": "first"}, "position is not a whole number"),
        ({"position": -1}, "position is not a whole number"),
        ({"propensity": 1.5}, "propensity is not in (0, 1]"),
        ({"propensity": float("nan")}, "propensity is not in (0, 1]"),
        ({"user_id": "u" * 300}, "an id is longer than 200 characters"),
    ],
)
def test_a_bad_row_is_quarantined_with_its_reason(
    tmp_path: Path, columns: dict[str, Any], reason: str
) -> None:
    report = store_events(loose(**columns), tmp_path, 7, NOW)
    assert (report.rows, report.stored, report.quarantined) == (1, 0, 1)
    assert report.reasons == {reason: 1}
    rows = pq.read_table(next(tmp_path.glob("quarantine/events/*.parquet"))).to_pylist()
    assert [(row["row"], row["reason"]) for row in rows] == [(7, reason)]
    assert '"event_id":"e"' in rows[0]["raw"]


def test_rows_in_are_rows_stored_plus_rows_quarantined(tmp_path: Path) -> None:
    rows = batch(
        event("a", "u", "i", at(0)),
        event("a", "u", "i", at(0)),
        event("b", "u", "i", at(1), event_type="nonsense"),
        event("c", "u", None, at(1), event_type="search", query="shoes"),
    )
    report = store_events(rows, tmp_path, 0, NOW)
    assert report.rows == report.stored + report.quarantined == 4
    assert report.reasons == {"duplicate": 1, "unknown event_type 'nonsense'": 1}
    assert [row["event_id"] for row in stored(tmp_path)] == ["a", "c"]


def test_an_event_that_an_earlier_range_stored_is_a_duplicate(tmp_path: Path) -> None:
    store_events(batch(event("a", "u", "i", at(0))), tmp_path, 0, NOW)
    again = batch(event("a", "u", "i", at(0), received_at=at(2)), event("b", "u", "i", at(2)))
    report = store_events(again, tmp_path, 1, NOW)
    assert (report.stored, report.reasons) == (1, {"duplicate": 1})


def test_a_bad_row_does_not_make_its_good_twin_a_duplicate(tmp_path: Path) -> None:
    rows = batch(event("a", "u", "i", at(0), event_type="nonsense"), event("a", "u", "i", at(0)))
    assert store_events(rows, tmp_path, 0, NOW).stored == 1


def test_a_late_event_goes_to_the_day_on_which_it_was_received(tmp_path: Path) -> None:
    report = store_events(batch(event("a", "u", "i", at(0), received_at=at(3))), tmp_path, 0, NOW)
    assert report.partitions == ("events/dt=2024-01-04/part-000000000000-000000000000.parquet",)


def test_replaying_a_range_writes_identical_bytes(tmp_path: Path) -> None:
    first = batch(
        *(event(f"e{n}", "u", f"i{n}", at(n % 3, n)) for n in range(20)),
        event("e1", "u", "i", at(1)),
    )
    store_events(first, tmp_path, 0, NOW)
    store_events(batch(event("e1", "u", "i", at(5))), tmp_path, 21, NOW)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    assert len(before) > 4
    report = store_events(first, tmp_path, 0, NOW)
    assert report.stored == 20
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_events_without_an_id_get_the_same_one_every_time(tmp_path: Path) -> None:
    rows = pa.table(
        {
            "user_id": ["u", "u", "v"],
            "item_id": ["i", "i", "i"],
            "event_type": ["click"] * 3,
            "timestamp": [START, START, START],
        }
    )
    for name in ("one", "two"):
        report = store_events(rows, tmp_path / name, 0, NOW)
        assert report.reasons == {"duplicate": 1}
    ids = [[row["event_id"] for row in stored(tmp_path / name)] for name in ("one", "two")]
    assert ids[0] == ids[1]
    assert len(set(ids[0])) == 2


def test_a_backfilled_event_was_known_when_it_happened(tmp_path: Path) -> None:
    store_events(loose(), tmp_path, 0, NOW)
    row = stored(tmp_path)[0]
    assert row["received_at"] == row["timestamp"]


def test_a_feedback_batch_with_offsets_is_stored_as_it_is(tmp_path: Path) -> None:
    rows = batch(event("a", "u", "i", at(0), position=2, propensity=0.5, request_id="r"))
    with_offset = rows.append_column("offset", pa.array([41], pa.int64()))
    store_events(with_offset, tmp_path, 41, NOW)
    assert pq.read_table(next(tmp_path.rglob("part-*.parquet"))).equals(rows)


def test_an_empty_batch_stores_nothing(tmp_path: Path) -> None:
    report = store_events(EVENT.empty_table(), tmp_path, 0, NOW)
    assert (report.rows, report.partitions) == (0, ())
    assert list(tmp_path.rglob("*.parquet")) == []


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"item_id": None}, "item_id is missing"),
        ({"price": -1.0}, "price is not a number of at least 0"),
        ({"price": float("nan")}, "price is not a number of at least 0"),
        ({"received_at": NOW + HOUR}, "received_at is in the future"),
    ],
)
def test_a_bad_item_is_quarantined_with_its_reason(
    tmp_path: Path, columns: dict[str, Any], reason: str
) -> None:
    row = {"item_id": "i", "title": "t", "received_at": START} | columns
    report = store_items(pa.table({k: [v] for k, v in row.items()}), tmp_path, 0, NOW)
    assert (report.stored, report.reasons) == (0, {reason: 1})


def test_versions_of_an_item_are_kept_and_a_repeated_one_is_a_duplicate(tmp_path: Path) -> None:
    rows = table([item("i", at(0)), item("i", at(1)), item("i", at(1))], ITEM)
    report = store_items(rows, tmp_path, 0, NOW)
    assert (report.stored, report.reasons) == (2, {"duplicate": 1})
    assert len(report.partitions) == 2


def brought(folder: Path, number: int, titles: list[str]) -> tuple[int, dict[str, int]]:
    """Import an undated catalogue, and return the stored rows and the reasons."""
    rows = pa.table({"item_id": ["i"] * len(titles), "title": titles})
    report = store_items(rows, folder, 10 * number, NOW + number * HOUR, dated=False)
    return report.stored, report.reasons


def test_what_an_item_used_to_be_is_news_when_it_is_so_again(tmp_path: Path) -> None:
    """A price that falls and rises again, and an item that sells out and comes back."""
    assert brought(tmp_path, 0, ["a"]) == (1, {})
    assert brought(tmp_path, 1, ["b"]) == (1, {})
    assert brought(tmp_path, 2, ["a"]) == (1, {})
    assert brought(tmp_path, 3, ["a"]) == (0, {"duplicate": 1})


def test_a_catalogue_that_says_two_things_of_an_item_is_at_rest(tmp_path: Path) -> None:
    second = {"another row of the item at the same time": 1}
    assert brought(tmp_path, 0, ["a", "b"]) == (1, second)
    assert brought(tmp_path, 1, ["a", "b"]) == (0, {"duplicate": 1} | second)


def test_a_user_is_stored_once(tmp_path: Path) -> None:
    report = store_users(pa.table({"user_id": ["u", "u", None, "v"]}), tmp_path)
    assert (report.rows, report.stored) == (4, 2)
    assert report.reasons == {"duplicate": 1, "user_id is missing": 1}
    assert pq.read_table(tmp_path / report.partitions[0])["user_id"].to_pylist() == ["u", "v"]
    bad = pq.read_table(next(tmp_path.glob("quarantine/users/*.parquet"))).to_pylist()
    assert [(row["row"], row["reason"]) for row in bad] == [
        (1, "duplicate"),
        (2, "user_id is missing"),
    ]


def test_movielens_100k_is_stored_without_loss(real_data: Path, tmp_path: Path) -> None:
    source = read_source(real_data / "movielens-100k")
    report = store_events(source.events, tmp_path, 0, NOW)
    assert (report.rows, report.stored, report.quarantined) == (100_000, 100_000, 0)
    assert len(report.partitions) == 213


def test_a_part_is_told_by_its_name_from_what_a_killed_run_left(tmp_path: Path) -> None:
    store_events(batch(event("a", "u", "i", at(0))), tmp_path, 7, NOW)
    (stored,) = tmp_path.glob("events/dt=*/*.parquet")
    assert part_start(stored) == 7
    assert part_start(stored.with_name(f".{stored.name}.tmp")) is None
    assert part_start(stored.with_name("others.parquet")) is None
