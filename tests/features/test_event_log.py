"""Logs with parts written by several versions."""

from pathlib import Path

import pyarrow.parquet as pq

from features.event_log import open_log
from tests.features.logs import START, at, event, item, write_log


def rewrite(part: Path, without: str) -> None:
    """Rewrite a part as a version without the column would have written it."""
    pq.write_table(pq.read_table(part).drop_columns([without]), part)


def test_parts_of_before_a_column_are_read_with_null_in_it(tmp_path: Path) -> None:
    write_log(tmp_path, [event("e1", "u", "i", at(0), query="old")], [item("i")])
    for part in tmp_path.rglob("part-*.parquet"):
        rewrite(part, "query" if "events" in part.parts else "image")
    write_log(
        tmp_path,
        [event("e2", "u", "i", at(1), query="new")],
        [item("i", at(1), image="i.png")],
        first=10,
    )
    log = open_log(tmp_path)
    rows = "SELECT event_id, query, timestamp, part FROM raw_events ORDER BY event_id"
    assert log.sql(rows).fetchall() == [
        ("e1", None, at(0), "part-000000000000"),
        ("e2", "new", at(1), "part-000000000010"),
    ]
    assert log.sql("SELECT image FROM raw_items ORDER BY part").fetchall() == [(None,), ("i.png",)]


def test_a_column_that_no_part_has_is_null(tmp_path: Path) -> None:
    write_log(tmp_path, [event("e1", "u", "i", START)])
    for part in tmp_path.rglob("part-*.parquet"):
        rewrite(part, "propensity")
    log = open_log(tmp_path)
    assert log.sql("SELECT propensity, typeof(propensity) FROM raw_events").fetchall() == [
        (None, "DOUBLE")
    ]
    assert log.sql("SELECT count(*) FROM raw_items").fetchall() == [(0,)]
