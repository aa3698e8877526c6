"""Reading and storing a source in many parts changes nothing, and memory does not grow."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.ingest import parquet, spool
from tests.features.ingest.bringing import S, bring, refused, stored, write

HEADER = "user_id,item_id,event_type,timestamp"
ROWS = spool.BATCH

#: Imports a made file of so many ratings into a log of as many others; prints the peak in kB.
IMPORT = """
import resource, sys
from pathlib import Path
import numpy as np, pyarrow as pa, pyarrow.csv as csv
import features.event_log
from tests.features.ingest.bringing import S, bring

features.event_log.MEMORY = "256MB"  # so that DuckDB has to do without memory, too
folder, rows = Path(sys.argv[1]), int(sys.argv[2])
for first in (0, rows):
    place = np.arange(first, first + rows)
    table = pa.table({"user_id": place // 50, "item_id": place % 997, "value": place % 5,
                      "timestamp": S + place % 7 * 86400})
    csv.write_csv(table, folder / "ratings.csv")
    mapping = {"events": {"columns": {name: name for name in table.column_names},
                          "constants": {"event_type": "rating"}}}
    report, _ = bring(folder / "ratings.csv", folder / "log", mapping, first)
    assert (report.stored, report.quarantined) == (rows, 0)
    del table, place
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def peak(folder: Path, checkout: Path, rows: int) -> float:
    """Peak memory in MB."""
    folder.mkdir()
    command = [sys.executable, "-c", IMPORT, str(folder), str(rows)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return int(done.stdout) / 1024


def test_memory_does_not_grow_with_the_rows_of_a_file_or_of_the_log(
    tmp_path: Path, checkout: Path
) -> None:
    few = peak(tmp_path / "few", checkout, 2 * ROWS)
    many = peak(tmp_path / "many", checkout, 8 * ROWS)
    assert many - few < 200, f"{few} MB, then {many} MB"


def test_an_event_is_told_twice_in_parts_that_lie_far_apart(tmp_path: Path) -> None:
    lines = [f"u{n},i,click,{S + n}" for n in range(2 * ROWS + 10)]
    lines[-1] = lines[0]
    events, _ = bring(write(tmp_path / "events.csv", HEADER, *lines), tmp_path / "log")
    assert (events.stored, events.reasons) == (len(lines) - 1, {"duplicate": 1})
    (bad,) = tmp_path.glob("log/quarantine/events/*.parquet")
    assert pq.read_table(bad)["row"].to_pylist() == [len(lines) - 1]


def test_rows_that_are_pieces_are_counted_over_all_parts(tmp_path: Path) -> None:
    lines = ["u,i,purchase,1735689600"] + [f"u{n},i,click,{S + n}" for n in range(ROWS + 10)]
    path = write(tmp_path / "events.csv", HEADER, *lines, lines[0])
    mapping = {"events": {"columns": {n: n for n in HEADER.split(",")},
                          "repeats": "keep"}}  # fmt: skip
    events, _ = bring(path, tmp_path / "log", mapping)
    assert (events.stored, events.quarantined) == (len(lines) + 1, 0)


def test_the_unit_of_a_column_is_that_of_all_parts_together(tmp_path: Path) -> None:
    """The first part holds only milliseconds, which are a minority overall."""
    lines = [f"u{n},i,click,{(S + n) * 1000}" for n in range(ROWS + 10)]
    lines += [f"u{n},j,click,{S + n}" for n in range(3 * ROWS)]
    events, _ = bring(write(tmp_path / "events.csv", HEADER, *lines), tmp_path / "log")
    reason = "timestamp is in milliseconds where the column is in seconds"
    assert (events.stored, events.reasons) == (3 * ROWS, {reason: ROWS + 10})


def test_parts_that_disagree_on_the_unit_are_one_error_and_nothing_is_stored(
    tmp_path: Path,
) -> None:
    lines = [f"u{n},i,click,{(S + n) * 1000}" for n in range(ROWS)]
    lines += [f"u{n},j,click,{S + n}" for n in range(ROWS)]
    assert "mixes units" in refused(write(tmp_path / "events.csv", HEADER, *lines))


def test_a_last_line_that_cannot_be_read_leaves_nothing_stored(tmp_path: Path) -> None:
    path = write(tmp_path / "events.csv", HEADER, *(f"u{n},i,click,{S + n}" for n in range(ROWS)))
    path.write_bytes(path.read_bytes() + b"u,caf\xe9,click,1735689600\n")
    assert f"line {ROWS + 2} is not utf-8" in refused(path)


def test_a_key_that_comes_late_in_json_lines_is_a_column(tmp_path: Path) -> None:
    known = {"user_id": "u", "item_id": "i", "event_type": "rating", "timestamp": S}
    lines = [json.dumps(known | {"user_id": f"u{n}", "event_type": "click"}) for n in range(ROWS)]
    lines.append(json.dumps(known | {"item_id": "j", "value": 4}))
    path = write(tmp_path / "events.jsonl", *lines)
    events, _ = bring(path, tmp_path / "log")
    assert (events.stored, events.quarantined) == (ROWS + 1, 0)
    assert [row["value"] for row in stored(tmp_path / "log") if row["item_id"] == "j"] == [4.0]


def test_a_day_of_more_rows_than_a_group_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "GROUP", 1000)
    lines = [f"u{n},i,click,{S + n % 60}" for n in range(2 * ROWS)]
    path = write(tmp_path / "events.csv", HEADER, *reversed(lines))
    events, _ = bring(path, tmp_path / "log")
    (part,) = events.partitions
    table = pq.read_table(tmp_path / "log" / part)
    assert table.num_rows == 2 * ROWS
    assert pq.read_metadata(tmp_path / "log" / part).num_row_groups > 1
    assert table == table.sort_by([("timestamp", "ascending"), ("event_id", "ascending")])


def test_a_spool_keeps_order_and_gives_null_where_a_column_came_later() -> None:
    rows = spool.Spool.of([pa.table({"a": [1, 2]}), pa.table({"a": [3], "b": ["x"]})])
    joined = spool.Spool.joined([rows, spool.Spool.of([pa.table({"c": [0.5]})])])
    del rows
    assert joined.whole().to_pydict() == {
        "a": [1, 2, 3, None], "b": [None, None, "x", None], "c": [None, None, None, 0.5],
    }  # fmt: skip


def test_what_was_spooled_goes_with_the_last_that_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "scratch", lambda: tmp_path)
    rows = spool.Spool.of([pa.table({"a": [1]})])
    assert len(list(tmp_path.iterdir())) == 1
    del rows
    assert list(tmp_path.iterdir()) == []


def test_tables_of_a_folder_may_differ_in_their_types(tmp_path: Path) -> None:
    write(tmp_path / "events.csv", f"{HEADER},value", f"u,i,rating,{S},4.5")
    other = {"user_id": [7], "item_id": ["i"], "event_type": ["rating"], "value": [3.5]}
    pq.write_table(pa.table(other | {"timestamp": [S]}), tmp_path / "events.parquet")
    bring(tmp_path, tmp_path / "log")
    assert [row["value"] for row in stored(tmp_path / "log")] == [3.5, 4.5]


@pytest.mark.parametrize("listed", [False, True])
def test_a_column_of_dictionaries_is_read_though_each_part_has_its_own(listed: bool) -> None:
    """As pandas writes categories to Parquet."""
    parts = [pa.array(values).dictionary_encode() for values in (["a", "b"], ["c", "a"])]
    if listed:
        parts = [pa.ListArray.from_arrays([0, 1, 2], part) for part in parts]
    rows = spool.Spool.of(pa.table({"x": part}) for part in parts)
    assert rows["x"].to_pylist() == [value for part in parts for value in part.to_pylist()]
