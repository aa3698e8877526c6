"""A shop's own database as a source, with the types that each engine gives back."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from features.ingest import IngestError, Mapping, TableMapping, read_source, store_events
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


def test_a_source_that_cannot_be_reached_names_no_password() -> None:
    url = "postgresql+psycopg://ann:sesame-1@127.0.0.1:1/shop?password=sesame-2"
    with pytest.raises(IngestError, match="ann") as caught:
        read_source(url, Mapping(events=TableMapping(path="sales")))
    assert "sesame" not in str(caught.value)
