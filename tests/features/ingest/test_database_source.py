"""A shop's own database as a source, with the types that each engine gives back."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from features.ingest import (
    IngestError,
    Mapping,
    TableMapping,
    read_source,
    readers,
    store_events,
)
from tests.serving.conftest import database_url

__all__ = ["database_url"]

NOW = 1_800_000_000_000_000
SOLD = datetime(2024, 1, 31, 12, 30, 15)  # MySQL's DATETIME keeps seconds
SALES = sa.Table(
    "sales",
    sa.MetaData(),
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("who", sa.BigInteger, nullable=False),
    sa.Column("sku", sa.String(40), nullable=False),
    sa.Column("paid", sa.Numeric(10, 2)),
    sa.Column("at", sa.DateTime, nullable=False),
    sa.Column("seen", sa.DateTime(timezone=True)),
)


def test_a_table_is_read_with_the_types_of_its_database(database_url: str, tmp_path: Path) -> None:
    engine = sa.create_engine(database_url)
    SALES.create(engine)
    row = {"number": 1, "who": 7, "sku": "Töpfe 1", "paid": Decimal("12.50"), "at": SOLD}
    with engine.begin() as connection:
        connection.execute(sa.insert(SALES), row | {"seen": SOLD.replace(tzinfo=UTC)})
        connection.execute(sa.insert(SALES), row | {"number": 2, "who": 8, "paid": None})
    engine.dispose()
    columns = {
        "user_id": "who", "item_id": "sku", "timestamp": "at", "value": "paid",
        "received_at": "seen",
    }  # fmt: skip
    for path in ("sales", "SELECT * FROM sales WHERE number < 3 ORDER BY number"):
        mapping = TableMapping(path=path, columns=columns, constants={"event_type": "purchase"})
        log = tmp_path / path[:5]
        source = read_source(database_url, Mapping(events=mapping))
        report = store_events(source.events, log, 0, NOW)
        assert (report.stored, report.quarantined) == (2, 0), report.reasons
        parts = sorted(log.rglob("part-*.parquet"))
        rows = [row for part in parts for row in pq.read_table(part).to_pylist()]
        found = sorted(rows, key=lambda row: row["user_id"])
        assert [row["user_id"] for row in found] == ["7", "8"]
        assert [row["value"] for row in found] == [12.5, None]
        assert {row["item_id"] for row in found} == {"Töpfe 1"}
        assert {row["timestamp"] for row in found} == {SOLD.replace(tzinfo=UTC)}
        assert {row["received_at"] for row in found} == {SOLD.replace(tzinfo=UTC)}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, "four"], ["1", "2", "3", "four"]),
        ([None, None, 3, 4], [None, None, 3, 4]),
        ([1, 2, 2.5, 3.5], ["1", "2", "2.5", "3.5"]),
        ([1, "two", None, None], ["1", "two", None, None]),
    ],
)
def test_a_column_has_one_type_however_many_rows_are_read_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: list[object], expected: list[object]
) -> None:
    monkeypatch.setattr(readers, "BATCH", 2)
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE sales (number INTEGER PRIMARY KEY, value)"))
        for value in values:
            connection.execute(sa.text("INSERT INTO sales (value) VALUES (:v)"), {"v": value})
    engine.dispose()
    raw = readers.read_sql(f"sqlite:///{tmp_path / 'shop.db'}", TableMapping(path="sales"))
    assert raw.names == ("number", "value")
    assert raw.table["c0"].to_pylist() == [1, 2, 3, 4]
    assert raw.table["c1"].to_pylist() == expected


def test_a_source_that_cannot_be_reached_names_no_password() -> None:
    url = "postgresql+psycopg://ann:sesame-1@127.0.0.1:1/shop?password=sesame-2"
    with pytest.raises(IngestError, match="ann") as caught:
        read_source(url, Mapping(events=TableMapping(path="sales")))
    assert "sesame" not in str(caught.value)
