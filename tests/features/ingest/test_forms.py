"""Data in other forms than one clean table: lists, JSON, properties, repeats."""

import json
import warnings
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base import params
from features.ingest import IngestParams, read_source
from tests.features.ingest.bringing import EVENTS, NOW, S, bring, refused, stored, write


def test_ids_written_as_decimals_are_the_same_ids(tmp_path: Path) -> None:
    write(tmp_path / "events.csv", "user_id,item_id,event_type,timestamp", f"7.0,100.0,click,{S}")
    items = pa.table({"item_id": pa.array([100.0, None]), "title": ["Hundred", "None"]})
    pq.write_table(items, tmp_path / "items.parquet")
    bring(tmp_path, tmp_path / "log")
    assert [(r["user_id"], r["item_id"]) for r in stored(tmp_path / "log")] == [("7", "100")]
    assert [row["item_id"] for row in stored(tmp_path / "log", "items")] == ["100"]


def test_a_later_catalogue_does_not_rewrite_what_was_known(tmp_path: Path) -> None:
    write(tmp_path / "events.csv", "user_id,item_id,event_type,timestamp", f"u,a,click,{S}")
    write(tmp_path / "items.csv", "item_id,title", "a,Old name", "b,Same")
    bring(tmp_path, tmp_path / "log")
    catalogue = write(tmp_path / "items.csv", "item_id,title", "a,New name", "b,Same", "c,Third")
    events, items = bring(catalogue, tmp_path / "log", first=10)
    assert events.rows == 0
    assert items.reasons == {"duplicate": 1}
    known = {row["title"]: row["received_at"] for row in stored(tmp_path / "log", "items")}
    assert known["Old name"] == known["Same"] == known["Third"]
    assert known["New name"].timestamp() * 1_000_000 == NOW
    # The same export once more changes nothing.
    assert bring(catalogue, tmp_path / "log", first=20)[1].reasons == {"duplicate": 3}


def test_two_rows_of_an_item_are_told_and_bringing_them_again_changes_nothing(
    tmp_path: Path,
) -> None:
    path = write(tmp_path / "items.csv", "item_id,title", "a,A", "a,A", "a,B", "b,B")
    told = {"duplicate": 1, "another row of the item at the same time": 1}
    assert bring(path, tmp_path / "log")[1].reasons == told
    again = bring(path, tmp_path / "log", first=10)[1]
    assert (again.stored, again.reasons) == (0, told | {"duplicate": 3})
    assert {row["title"] for row in stored(tmp_path / "log", "items")} == {"A", "B"}


def test_items_are_known_since_the_first_event_that_can_be_used(tmp_path: Path) -> None:
    write(tmp_path / "movies.csv", "movieId,title,genres", "1,One,Drama")
    for time, known in ((S, S), (S * 1000, NOW / 10**6)):
        rows = ["1,1,4.0,0", f"1,2,4.0,{time}"]
        write(tmp_path / "ratings.csv", "userId,movieId,rating,timestamp", *rows)
        bring(tmp_path, tmp_path / str(time))
        (item,) = stored(tmp_path / str(time), "items")
        assert item["received_at"].timestamp() == known


def test_a_catalogue_comes_without_events(tmp_path: Path) -> None:
    path = write(tmp_path / "products.csv", "sku,name", "a,A", "b,B")
    mapping = {"items": {"path": "products.csv", "columns": {"item_id": "sku", "title": "name"}}}
    for source in (path, tmp_path):
        events, items = bring(source, tmp_path / f"log-{source.name}", mapping)
        assert (events.rows, items.stored) == (0, 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x|y", ["x", "y"]),
        ('["x", "y, z"]', ["x", "y, z"]),
        ("['x', \"y's\"]", ["x", "y's"]),
        ("['x' 'y']", ["x", "y"]),
        ("[x, y]", ["x", "y"]),
        ('[["x", "y"], ["x", "z"]]', ["x", "y", "z"]),
        ('[{"id": 1, "name": "x"}, {"id": 2, "name": "y"}]', ["x", "y"]),
        ('{"z", "y", "x"}', ["z", "y", "x"]),
        ("{y,x}", ["y", "x"]),
        ("[]", []),
        ("", []),
        ("[broken", ["[broken"]),
    ],
)
def test_categories_are_read_in_every_form(tmp_path: Path, text: str, expected: list[str]) -> None:
    quoted = '"' + text.replace('"', '""') + '"'
    path = write(tmp_path / "items.csv", "item_id,categories", f"a,{quoted}")
    bring(path, tmp_path / "log")
    assert stored(tmp_path / "log", "items")[0]["categories"] == expected


def test_one_bad_price_is_one_row_also_in_a_table_without_times(tmp_path: Path) -> None:
    path = write(tmp_path / "items.csv", "item_id,price", "a,1.5", "b,expensive", "c,-2")
    _, items = bring(path, tmp_path / "log")
    assert (items.stored, items.reasons) == (1, {"price is not a number of at least 0": 2})


def test_decimal_commas_are_an_option(tmp_path: Path) -> None:
    path = write(tmp_path / "items.csv", "sku;cost", "a;1.234,50", "b;3,5", "c;7")
    layout = {"separator": ";", "columns": {"item_id": "sku", "price": "cost"}}
    _, items = bring(path, tmp_path / "no", {"items": layout})
    assert items.stored == 1
    bring(path, tmp_path / "yes", {"items": layout | {"decimal": ","}})
    assert [row["price"] for row in stored(tmp_path / "yes", "items")] == [1234.5, 3.5, 7.0]


def test_equal_rows_are_one_event_or_as_many_purchases(tmp_path: Path) -> None:
    rows = [f"u,i,purchase,{S}"] * 3
    path = write(tmp_path / "e.csv", "uid,iid,action,at", *rows)
    assert bring(path, tmp_path / "one", {"events": EVENTS})[0].reasons == {"duplicate": 2}
    kept = {"events": EVENTS | {"repeats": "keep"}}
    assert bring(path, tmp_path / "log", kept)[0].stored == 3
    write(path, "uid,iid,action,at", *rows, rows[0])
    assert bring(path, tmp_path / "log", kept, first=10)[0].reasons == {"duplicate": 3}
    assert len(stored(tmp_path / "log")) == 4
    assert {r["event_id"] for r in stored(tmp_path / "one")} < {
        r["event_id"] for r in stored(tmp_path / "log")
    }


def test_lists_of_what_was_shown_are_no_ids(tmp_path: Path) -> None:
    path = write(
        tmp_path / "behaviors.tsv",
        "1\tU1\t11/11/2019 9:05:58 AM\tN9 N8\tN1-0 N2-1 N3-0",
        "2\tU2\t11/11/2019 9:06:58 PM\t\tN1-1",
        "3\tU2\t11/11/2019 9:07:58 PM\t\t",
        "4\tU3\t11/11/2019 9:07:58 PM\t\tN1-1 N2-7",
    )
    layout = {
        "separator": "\t",
        "header": False,
        "quoting": False,
        "timestamp": "%m/%d/%Y %I:%M:%S %p",
        "columns": {"request_id": 0, "user_id": 1, "timestamp": 2, "item_id": 4},
        "constants": {"event_type": "impression"},
    }
    assert "set `impressions:" in refused(path, {"events": layout})
    layout |= {"impressions": " ", "outcomes": {"0": "impression", "1": "click"}}
    report, _ = bring(path, tmp_path / "log", {"events": layout})
    assert report.reasons == {
        "item_id is missing": 1,
        "the entry does not end in one of the mapping's outcomes": 1,
    }
    rows = [
        (r["user_id"], r["item_id"], r["event_type"], r["position"])
        for r in stored(tmp_path / "log")
    ]
    assert sorted(rows) == [
        ("U1", "N1", "impression", 0),
        ("U1", "N2", "click", 1),
        ("U1", "N2", "impression", 1),
        ("U1", "N3", "impression", 2),
        ("U2", "N1", "click", 0),
        ("U2", "N1", "impression", 0),
        ("U3", "N1", "click", 0),
        ("U3", "N1", "impression", 0),
    ]


@pytest.mark.parametrize(
    "slate", ["100.0 200 300", '["100", "200", "300"]', "['100' '200' '300']", "[100.0, 200, 300]"]
)
def test_a_slate_is_read_in_every_form(tmp_path: Path, slate: str) -> None:
    row = {"uid": "u", "iid": slate, "action": "impression", "at": S}
    path = write(tmp_path / "e.jsonl", json.dumps(row))
    bring(path, tmp_path / "log", {"events": EVENTS | {"impressions": " "}})
    shown = {row["position"]: row["item_id"] for row in stored(tmp_path / "log")}
    assert shown == {0: "100", 1: "200", 2: "300"}


def test_properties_one_a_row_become_versions(tmp_path: Path) -> None:
    path = write(
        tmp_path / "item_properties.csv",
        "timestamp,itemid,property,value",
        f"{S}000,1,categoryid,10",
        f"{S}000,1,available,1",
        f"{S}000,1,790,n1200.000",
        f"{S + 60}000,1,available,0",
        f"{S}000,2,888,words",
        "soon,2,categoryid,11",
    )
    layout = {
        "columns": {"item_id": "itemid", "received_at": "timestamp"},
        "property": "property",
        "property_value": "value",
        "properties": {"categories": "categoryid", "available": "available", "price": "790"},
    }
    mapping = {"items": layout}
    source = read_source(path, params.build(IngestParams, "i", {"mapping": mapping}).mapping)
    _, items = bring(path, tmp_path / "log", mapping)
    assert (items.stored, items.quarantined, source.folded) == (2, 2, 2)
    assert items.reasons == {
        "received_at is not a time": 1,
        "the property is not mapped": 1,
    }
    versions = [
        (r["categories"], r["available"], r["price"]) for r in stored(tmp_path / "log", "items")
    ]
    assert versions == [(["10"], True, 1200.0), (["10"], False, 1200.0)]


def test_a_property_that_cannot_be_read_is_its_own_fault(tmp_path: Path) -> None:
    path = write(
        tmp_path / "p.csv",
        "t,i,p,v",
        f"{S},a,cost,much",
        f"{S},a,cat,x",
        f"{S + 5},a,there,maybe",
        f"{S + 9},a,cat,y",
    )
    layout = {
        "columns": {"item_id": "i", "received_at": "t"},
        "property": "p",
        "property_value": "v",
        "properties": {"categories": "cat", "available": "there", "price": "cost"},
    }
    _, items = bring(path, tmp_path / "log", {"items": layout})
    assert (items.stored, items.reasons) == (
        2,
        {"price is not a number of at least 0": 1, "available is neither true nor false": 1},
    )


def test_json_lines_of_odd_software_lose_nothing(tmp_path: Path) -> None:
    row = {"user_id": 10**20 + 1, "item_id": "i", "event_type": "click", "timestamp": S}
    path = write(
        tmp_path / "events.jsonl",
        json.dumps(row) + ",",
        json.dumps(row | {"user_id": 10**20 + 2}),
        json.dumps(row | {"user_id": "\ud800"}),
        json.dumps(row | {"user_id": float("nan")}),
        "{'user_id': '\\d', 'item_id': 'i', 'event_type': 'click', 'timestamp': 1735689600}",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report, _ = bring(path, tmp_path / "log")
    assert (report.rows, report.stored) == (5, 3)
    assert {row["user_id"] for row in stored(tmp_path / "log")} == {
        "100000000000000000001",
        "100000000000000000002",
        "\\d",
    }


@pytest.mark.parametrize("lines", [["{", '"a": 1', "}"], ["user_id,item_id", "u,i"], ["[1]x"]])
def test_a_file_without_any_object_is_one_error(tmp_path: Path, lines: list[str]) -> None:
    said = refused(write(tmp_path / "events.json", *lines))
    assert "no line is a JSON object" in said or "begins like a JSON list" in said


def test_json_lines_are_read_with_lists_numbers_and_what_lies_within(tmp_path: Path) -> None:
    path = write(
        tmp_path / "reviews.jsonl",
        json.dumps({"who": {"id": 7}, "asin": "B1", "stars": 5.0, "ms": S * 1000, "tags": ["a"]}),
        "{'who': {'id': 8}, 'asin': 'B2', 'stars': 4, 'ms': 1735689600000}",
        "not json",
        "[1, 2]",
    )
    layout = {
        "columns": {"user_id": "who.id", "item_id": "asin", "value": "stars", "timestamp": "ms"},
        "constants": {"event_type": "rating"},
    }
    report, _ = bring(path, tmp_path / "log", {"events": layout})
    assert (report.rows, report.stored) == (4, 2)
    assert report.reasons == {"the line is not a JSON object": 2}
    assert {(r["user_id"], r["value"]) for r in stored(tmp_path / "log")} == {
        ("7", 5.0),
        ("8", 4.0),
    }


def test_a_list_within_json_is_a_row_an_entry(tmp_path: Path) -> None:
    events = [{"aid": n, "ts": (S + n) * 1000, "type": "clicks"} for n in range(3)]
    path = write(
        tmp_path / "otto.jsonl",
        json.dumps({"session": 1, "events": events}),
        json.dumps({"session": 2, "events": []}),
    )
    layout = {
        "explode": "events",
        "columns": {
            "user_id": "session",
            "item_id": "events.aid",
            "event_type": "events.type",
            "timestamp": "events.ts",
        },
        "event_types": {"clicks": "click", "carts": "cart", "orders": "purchase"},
    }
    report, _ = bring(path, tmp_path / "log", {"events": layout})
    assert (report.stored, report.reasons) == (3, {"event_type is missing": 1})


@pytest.mark.parametrize("mark", [";", "\t", "|", "::"])
@pytest.mark.parametrize("header", [True, False])
def test_another_separator_is_guessed_in_the_message(
    tmp_path: Path, mark: str, header: bool
) -> None:
    path = write(tmp_path / "e.csv", mark.join(["uid", "iid", "action", "at"]))
    columns = EVENTS["columns"] if header else {"user_id": 0, "item_id": 1}
    said = refused(path, {"events": {"header": header, "columns": columns}})
    assert f"is the separator {mark!r}? Set `separator: {json.dumps(mark)}`" in said


def test_our_own_names_between_other_separators_are_one_line_that_says_so(tmp_path: Path) -> None:
    names = ["user_id", "item_id", "event_type", "timestamp"]
    path = write(tmp_path / "events.csv", ";".join(names), f"u,x;i;click;{S}")
    assert 'Set `separator: ";"` in the mapping' in refused(path)
    bring(path, tmp_path / "log", {"events": {"separator": ";"}})
    assert [row["user_id"] for row in stored(tmp_path / "log")] == ["u,x"]


def test_an_object_in_the_place_of_an_id_says_what_to_map(tmp_path: Path) -> None:
    row = {"user_id": "u", "event_type": "click", "timestamp": S}
    lines = [json.dumps(row | {"item_id": item}) for item in ("i", {"sku": "j"})]
    for path in (
        write(tmp_path / "some.jsonl", *lines),
        write(tmp_path / "all.jsonl", lines[1]),
    ):
        assert "unknown columns item_id.sku" in (said := refused(path))
        assert "'item_id' holds an object: map a key inside it" in said
    mapping = {"columns": {name: name for name in (*row, "item_id")}}
    assert "no column 'item_id' for 'item_id'" in (said := refused(path, {"events": mapping}))
    assert "e.g. 'item_id.sku')" in said


def test_numbers_that_count_from_another_day_say_since_when(tmp_path: Path) -> None:
    path = write(tmp_path / "e.csv", "uid,iid,action,at", "u,i,click,0", "u,i,click,86400")
    assert "name the unit in the mapping's `timestamp`" in refused(path, {"events": EVENTS})
    layout = EVENTS | {"timestamp": "s", "since": "2017-01-01"}
    bring(path, tmp_path / "log", {"events": layout})
    assert [str(r["timestamp"])[:10] for r in stored(tmp_path / "log")] == [
        "2017-01-01",
        "2017-01-02",
    ]
