"""Real files that once failed: the result of importing each of them, end to end."""

import gzip
import json
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.ingest import IngestError, read_source
from tests.features.ingest.bringing import EVENTS, S, bring, refused, stored, write


def test_events_without_a_time_are_one_line_that_says_what_to_map(tmp_path: Path) -> None:
    path = write(tmp_path / "ratings.csv", "user,book,rating", "1,2,3", "2,3,4")
    mapping = {
        "columns": {"user_id": "user", "item_id": "book", "value": "rating"},
        "constants": {"event_type": "rating"},
    }
    assert "ratings.csv: events need a time; map a column to `timestamp`" in refused(
        path, {"events": mapping}
    )


def test_an_open_quote_costs_its_own_line_only(tmp_path: Path) -> None:
    names = ["quiet", '"open', "slow", "late", '"open', '"full" band', "last"]
    rows = [f"u{n}\t{name}\t{n}\t{S + n}" for n, name in enumerate(names)]
    path = write(tmp_path / "plays.tsv", *rows)
    layout = {
        "separator": "\t",
        "header": False,
        "columns": {"user_id": 0, "item_id": 1, "timestamp": 3},
        "constants": {"event_type": "view"},
    }
    report, _ = bring(path, tmp_path / "log", {"events": layout})
    assert (report.rows, report.stored) == (7, 4)
    assert list(report.reasons) == [
        "a quote opens a field and does not end it (`quoting: false` reads quotes as text)"
    ]
    bad = pq.read_table(next((tmp_path / "log").glob("quarantine/events/*"))).to_pylist()
    assert json.loads(bad[0]["raw"]) == {"line": 2, "text": rows[1]}
    report, _ = bring(path, tmp_path / "as-text", {"events": layout | {"quoting": False}})
    assert report.stored == 7
    assert {row["item_id"] for row in stored(tmp_path / "as-text")} == set(names)


def test_dates_written_as_numbers_are_days(tmp_path: Path) -> None:
    path = write(
        tmp_path / "log.csv", "uid,iid,action,at", "u,i,view,20170101", "u,j,view,20170120"
    )
    report, _ = bring(path, tmp_path / "log", {"events": EVENTS})
    assert report.stored == 2
    assert {str(row["timestamp"])[:10] for row in stored(tmp_path / "log")} == {
        "2017-01-01",
        "2017-01-20",
    }


def test_the_few_times_of_another_unit_are_quarantined_and_say_so(tmp_path: Path) -> None:
    times = [*((S + n) * 1000 for n in range(10)), S, S + 1, S + 2]
    rows = [f"u,i{n},click,{time}" for n, time in enumerate(times)]
    path = write(tmp_path / "events.csv", "user_id,item_id,event_type,timestamp", *rows)
    report, _ = bring(path, tmp_path / "log")
    assert (report.stored, report.reasons) == (
        10,
        {"timestamp is in seconds where the column is in milliseconds": 3},
    )
    assert all(row["timestamp"].year == 2025 for row in stored(tmp_path / "log"))


@pytest.mark.parametrize(("unit", "times"), [("ms", [S]), ("us", [S * 1000]), ("s", [0, 12])])
def test_a_wrong_unit_or_an_unset_time_is_never_1970(
    tmp_path: Path, unit: str, times: list[int]
) -> None:
    rows = [f"u,i{n},click,{time}" for n, time in enumerate(times)]
    path = write(tmp_path / "e.csv", "uid,iid,action,at", *rows)
    report, _ = bring(path, tmp_path / "log", {"events": EVENTS | {"timestamp": unit}})
    assert report.reasons == {
        "timestamp is before 1971; it may be unset or in another unit": len(times)
    }


def test_a_column_of_mixed_units_is_one_error(tmp_path: Path) -> None:
    times = [*((S + n) * 1000 for n in range(5)), *range(S, S + 5)]
    rows = [f"u,i{n},click,{time}" for n, time in enumerate(times)]
    path = write(tmp_path / "events.csv", "user_id,item_id,event_type,timestamp", *rows)
    said = refused(path)
    assert "events.csv: column 'timestamp' mixes units: 5 in milliseconds" in said
    assert "5 in seconds" in said


def test_a_date_with_an_hour_is_a_time(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.csv", "uid,iid,action,at", "u,i,1,2014-12-06 02", "u,i,4,2014-12-06 23"
    )
    mapping = EVENTS | {"event_types": {1: "view", 4: "purchase"}}
    assert bring(path, tmp_path / "log", {"events": mapping})[0].stored == 2
    assert [row["timestamp"].hour for row in stored(tmp_path / "log")] == [2, 23]


def test_columns_of_the_source_called_error_and_raw_are_not_ours(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "uid,iid,action,at,error,raw", f"u,i,click,{S},0,x")
    assert bring(path, tmp_path / "log", {"events": EVENTS})[0].stored == 1


def test_headers_that_differ_in_case_only_are_told_apart(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "ID,id,event,ts", f"u0,i0,click,{S}")
    columns = {"user_id": "ID", "item_id": "id", "event_type": "event", "timestamp": "ts"}
    bring(path, tmp_path / "log", {"events": {"columns": columns}})
    assert [(r["user_id"], r["item_id"]) for r in stored(tmp_path / "log")] == [("u0", "i0")]


def test_a_repeated_header_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "id,id,action,at", f"u0,i0,click,{S}")
    mapping = {"columns": EVENTS["columns"] | {"user_id": "id", "item_id": "id"}}
    assert "e.csv: 2 columns are named 'id'" in refused(path, {"events": mapping})


@pytest.mark.parametrize("constant", ["2020-01-01", 1577836800, 1577836800000, 20200101])
def test_a_constant_time_is_read_like_a_column(tmp_path: Path, constant: object) -> None:
    write(tmp_path / "ratings.csv", "u,b,r", "1,2,3", "2,3,4")
    write(tmp_path / "books.csv", "id,title", "2,Two", "3,Three")
    mapping = {
        "events": {
            "path": "ratings.csv",
            "columns": {"user_id": "u", "item_id": "b", "value": "r"},
            "constants": {"event_type": "rating", "timestamp": constant},
        },
        "items": {"path": "books.csv", "columns": {"item_id": "id", "title": "title"}},
    }
    events, items = bring(tmp_path, tmp_path / "log", mapping)
    assert (events.stored, items.stored) == (2, 2)
    rows = stored(tmp_path / "log") + stored(tmp_path / "log", "items")
    assert {str(row["received_at"]) for row in rows} == {"2020-01-01 00:00:00+00:00"}


def test_a_constant_that_is_no_time_is_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "uid,iid", "u,i")
    mapping = {
        "columns": {"user_id": "uid", "item_id": "iid"},
        "constants": {"event_type": "view", "timestamp": "soon"},
    }
    assert "the constant timestamp: 'soon' is not a time" in refused(path, {"events": mapping})


def test_a_column_and_a_constant_for_one_thing_are_one_line(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "uid,iid,action,at", f"u,i,click,{S}")
    mapping = EVENTS | {"constants": {"event_type": "purchase"}}
    assert "'event_type' is mapped both as a column and as a constant" in refused(
        path, {"events": mapping}
    )


def test_movielens_ratings_with_a_mark_are_recognised_alone(tmp_path: Path) -> None:
    text = f'"userId","movieId","rating","timestamp"\n1,2,4.5,{S}\n'
    (tmp_path / "ratings.csv").write_bytes(text.encode("utf-8-sig"))
    assert bring(tmp_path, tmp_path / "log")[0].stored == 1


def test_what_a_mac_puts_beside_a_file_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "one.csv", "uid,iid,action,at", f"u,i,click,{S}")
    (tmp_path / "._one.csv").write_bytes(b"\0\5\x16\7")
    mapping = {"events": EVENTS | {"path": "*.csv"}}
    assert bring(tmp_path, tmp_path / "log", mapping)[0].stored == 1
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        for name in ("one.csv", "._one.csv"):
            archive.write(tmp_path / name, name)
    assert bring(tmp_path / "both.zip", tmp_path / "two", {"events": EVENTS})[0].stored == 1


def test_movielens_titles_keep_their_accents_in_either_encoding(tmp_path: Path) -> None:
    write(tmp_path / "ratings.dat", f"1::1::0.5::{S}")
    for encoding in ("utf-8", "latin-1"):
        (tmp_path / "movies.dat").write_bytes("1::Amélie (2001)::Drama\n".encode(encoding))
        assert read_source(tmp_path).items["title"].to_pylist() == ["Amélie (2001)"]


def test_a_missing_movielens_column_is_named_with_its_file(tmp_path: Path) -> None:
    write(tmp_path / "ratings.csv", "userId,movieId,rating,timestamp", f"1,1,4.0,{S}")
    path = write(tmp_path / "movies.csv", "movieId,title", "1,A")
    with pytest.raises(IngestError) as error:
        read_source(tmp_path)
    assert str(error.value).startswith(f"{path}: no column 'genres'")


def test_a_time_without_zone_is_utc_whatever_other_rows_say(tmp_path: Path) -> None:
    times = [
        "2025-03-30T02:30:00+02:00",
        "2025-03-30 02:30:00 Europe/Berlin",
        "2025-03-30T00:30:00Z",
        "2025-03-30",
        "2025/03/30 10:00",
        "30/03/2025",
        "2025-03-30T02:30:00.123456789Z",
        "2025-03-30T02:30",
    ]
    rows = [f"u,i{n},click,{time}" for n, time in enumerate(times)]
    path = write(tmp_path / "events.csv", "user_id,item_id,event_type,timestamp", *rows)
    report, _ = bring(path, tmp_path / "log")
    assert report.reasons == {"timestamp is not a time": 1}
    found = {
        row["item_id"]: row["timestamp"].strftime("%dT%H:%M") for row in stored(tmp_path / "log")
    }
    assert found == {
        "i0": "30T00:30",
        "i1": "30T01:30",
        "i2": "30T00:30",
        "i3": "30T00:00",
        "i4": "30T10:00",
        "i6": "30T02:30",
        "i7": "30T02:30",
    }


def test_two_columns_of_times_have_a_unit_each_row_by_row(tmp_path: Path) -> None:
    rows = [
        f"u,i{n},click,2025-01-{n % 28 + 1:02d}T01:00Z,{S * 1000 + n * 1000}" for n in range(9000)
    ]
    rows[4000] = f"u,x,click,{S},{S * 1000}"
    rows[5000] = "u,y,click,2025-01-01,late"
    names = "user_id,item_id,event_type,timestamp,received_at"
    path = write(tmp_path / "events.csv", names, *rows)
    report, _ = bring(path, tmp_path / "log")
    assert report.reasons == {
        "received_at is not a time": 1,
        "timestamp is in seconds where the column is in ISO 8601": 1,
    }
    for row in stored(tmp_path / "log"):
        number = int(row["item_id"][1:])
        assert row["timestamp"].day == number % 28 + 1
        assert row["received_at"].timestamp() == S + number


def test_a_zip_and_a_gzipped_file_are_read_and_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ml.zip", "w") as archive:
        archive.writestr("ml/u.data", f"1\t2\t3\t{S}\n")
        archive.writestr("__MACOSX/ml/._u.data", "x")
    assert bring(tmp_path / "ml.zip", tmp_path / "log")[0].stored == 1
    content = f"user_id,item_id,event_type,timestamp\nu,i,click,{S}\n".encode()
    (tmp_path / "events.csv.gz").write_bytes(gzip.compress(content))
    assert bring(tmp_path / "events.csv.gz", tmp_path / "two")[0].stored == 1
    with zipfile.ZipFile(tmp_path / "broken.zip", "w") as archive:
        archive.writestr("events.csv", "who\nu\n")
    assert f"{tmp_path / 'broken.zip'}" in refused(tmp_path / "broken.zip")
    (tmp_path / "events.csv.gz").write_bytes(gzip.compress(content)[:-9])
    assert "cannot be unpacked" in refused(tmp_path / "events.csv.gz")


def test_a_zip_that_writes_outside_itself_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../outside.csv", "x")
        archive.writestr("events.csv", "x")
    assert "a path that leads outside it" in refused(tmp_path / "evil.zip")


def test_a_zip_that_holds_a_file_twice_loses_neither_unseen(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("events.csv", "x")
        archive.writestr("./events.csv", "y")
    assert "holds ./events.csv twice" in refused(tmp_path / "twice.zip")


def test_a_spreadsheet_or_another_archive_says_what_to_do(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "orders.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "x")
    assert "save it as CSV" in refused(tmp_path / "orders.xlsx")
    (tmp_path / "a.csv.xz").write_bytes(b"\xfd7zXZ\x00rest")
    assert "this is a xz file; unpack it" in refused(tmp_path / "a.csv.xz")
    others = {
        "Parquet file; name it .parquet": b"PAR1\x15",
        "SQLite file; give it as sqlite:///": b"SQLite format 3\0" + bytes(500),
        "tar file; unpack it": b"a.csv".ljust(257, b"\0") + b"ustar\x0000" + bytes(300),
        "PDF file; export it": b"%PDF-1.7\n",
    }
    for words, content in others.items():
        for end, packed in (("", content), (".gz", gzip.compress(content))):
            path = tmp_path / f"events.csv{end}"
            path.write_bytes(packed)
            assert words in refused(path)


def test_json_lines_by_another_name_say_so(tmp_path: Path) -> None:
    for lines in (['{"user_id": "u"}'], ['{"user_id": "u"}', '{"user_id": "v"}']):
        path = write(tmp_path / "events.csv", *lines)
        assert "begins like JSON; name the file .jsonl" in refused(path)


def test_utf_16_says_so_itself(tmp_path: Path) -> None:
    text = f"user_id,item_id,event_type,timestamp\nu,é,click,{S}\n"
    for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        (tmp_path / "events.csv").write_bytes(text.encode(encoding))
        bring(tmp_path / "events.csv", tmp_path / encoding)
        assert [row["item_id"] for row in stored(tmp_path / encoding)] == ["é"]
