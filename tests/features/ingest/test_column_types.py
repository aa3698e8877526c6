"""Columns of Parquet files, whatever their types."""

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.ingest import IngestError, TableMapping
from features.ingest.apply import apply
from features.ingest.readers import read_file
from features.schema import EVENT
from tests.features.ingest.bringing import S, bring, stored


def test_columns_of_any_type_are_read(tmp_path: Path) -> None:
    names = {"user_id": ["u", "v"], "item_id": ["i", "j"], "event_type": ["click", "view"]}
    times = pa.array([S, S + 1], pa.int64())
    odd = {
        "bytes": pa.array([b"\xff\x00", None]),
        "wide": pa.array([Decimal(1), None], pa.decimal256(60, 2)),
        "half": pa.array(np.array([1, 2], np.float16)),
        "clock": pa.array([1, None], pa.time32("s")),
        "span": pa.array([1, None], pa.duration("s")),
        "deep": pa.array([[{"a": [1]}], None]),
        "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
        "nothing": pa.nulls(2),
    }
    mapping = {"events": {"columns": {name: name for name in (*names, "timestamp")}}}
    path = tmp_path / "events.parquet"
    pq.write_table(pa.table(names | {"timestamp": times} | odd), path)
    assert bring(path, tmp_path / "log", mapping)[0].stored == 2
    for name in ("bytes", "clock", "span", "map", "nothing"):
        for ours in ("user_id", "timestamp"):
            pq.write_table(pa.table(names | {"timestamp": times} | {ours: odd[name]}), path)
            report, _ = bring(path, tmp_path / f"{name}-{ours}")
            assert report.rows == 2


def test_a_type_that_no_rule_knows_loses_no_row(tmp_path: Path) -> None:
    names = {"user_id": ["u"], "item_id": ["i"], "event_type": ["click"], "timestamp": [S]}
    wide = pa.array([[Decimal(1)]], pa.list_(pa.decimal256(60, 2)))
    pq.write_table(pa.table(names | {"query": wide}), tmp_path / "events.parquet")
    report, _ = bring(tmp_path / "events.parquet", tmp_path / "log")
    assert (report.stored, report.quarantined) == (1, 0)


def test_what_a_library_cannot_read_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(f"user_id,item_id,event_type,timestamp\nu,i,click,{S}\n")
    raw = read_file(path, TableMapping())
    for file in raw.table.files():
        file.unlink()
    with pytest.raises(IngestError, match=r"events.csv: cannot be read \("):
        apply(raw, TableMapping(), EVENT, str(path))


def test_ids_are_the_same_whatever_type_their_column_has(tmp_path: Path) -> None:
    ids: dict[str, tuple[pa.Array, list[str]]] = {
        "bytes": (pa.array([b"a", "é".encode()]), ["a", "é"]),
        "decimals": (pa.array([1.5, 2.5, 7.0, float("nan")]), ["1.5", "2.5", "7"]),
        "lists": (pa.array([["a", "b"], []]), []),
        "flags": (pa.array([True, False]), []),
    }
    for name, (column, expected) in ids.items():
        size = len(column)
        rest = {"user_id": ["u"] * size, "event_type": ["view"] * size, "timestamp": [S] * size}
        pq.write_table(pa.table(rest | {"item_id": column}), tmp_path / "events.parquet")
        report, _ = bring(tmp_path / "events.parquet", tmp_path / name)
        assert report.rows == size
        assert sorted(row["item_id"] for row in stored(tmp_path / name)) == expected


def test_categories_of_any_type_are_read(tmp_path: Path) -> None:
    for place, column in enumerate(
        [
            pa.array([["x", "y"]], pa.list_(pa.string(), 2)),
            pa.array([[{"id": 1, "name": "x"}, {"id": 2, "name": "y"}]]),
            pa.array([[["x"], ["y", "x"]]]),
            pa.array(["x|y"]).dictionary_encode(),
        ]
    ):
        pq.write_table(pa.table({"item_id": ["a"], "categories": column}), tmp_path / "i.parquet")
        bring(tmp_path / "i.parquet", tmp_path / str(place))
        assert stored(tmp_path / str(place), "items")[0]["categories"] == ["x", "y"]
