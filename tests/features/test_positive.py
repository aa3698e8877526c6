"""The rule for positive events is the same in every engine that reads events."""

import duckdb
import pyarrow as pa
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.positive import positive_mask, positive_sql
from features.schema import EventType

Row = tuple[str, str | None, float | None]

RATINGS = st.floats(-5, 5) | st.sampled_from([0.0, 2.5, 3.0])
ROWS = st.lists(
    st.tuples(st.sampled_from([*EventType]), st.none() | st.just("item"), st.none() | RATINGS)
)
WANTED = {"click", "view", "cart", "purchase", "rating", "like", "watch"}


def plainly(row: Row, min_rating: float) -> bool:
    """The rule in plain Python."""
    kind, item_id, value = row
    if item_id is None or kind not in WANTED:
        return False
    return kind != "rating" or (value or 0.0) >= min_rating


def table(rows: list[Row]) -> pa.Table:
    kinds, items, values = ([row[place] for row in rows] for place in range(3))
    return pa.table(
        {
            "number": pa.array(range(len(rows)), pa.int64()),
            "event_type": pa.array(kinds, pa.string()),
            "item_id": pa.array(items, pa.string()),
            "value": pa.array(values, pa.float64()),
        }
    )


def in_duckdb(rows: list[Row], min_rating: float) -> list[int]:
    with duckdb.connect() as connection:
        connection.register("events", table(rows))
        query = f"SELECT number FROM events WHERE {positive_sql(min_rating)} ORDER BY number"
        return [number for (number,) in connection.execute(query).fetchall()]


def in_sqlite(rows: list[Row], min_rating: float) -> list[int]:
    events = sa.Table(
        "events",
        sa.MetaData(),
        sa.Column("number", sa.Integer),
        sa.Column("event_type", sa.String),
        sa.Column("item_id", sa.String),
        sa.Column("value", sa.Double),
    )
    engine = sa.create_engine("sqlite://")
    query = sa.select(events.c.number).where(sa.text(positive_sql(":least")))
    with engine.begin() as connection:
        events.create(connection)
        if rows:
            connection.execute(sa.insert(events), table(rows).to_pylist())
        found = connection.execute(query.order_by(events.c.number), {"least": min_rating})
        numbers = list(found.scalars())
    engine.dispose()
    return numbers


@settings(deadline=None)
@given(ROWS, RATINGS)
def test_every_engine_finds_the_same_positive_events(rows: list[Row], min_rating: float) -> None:
    expected = [number for number, row in enumerate(rows) if plainly(row, min_rating)]
    mask = positive_mask(table(rows), min_rating).to_pylist()
    assert [number for number, positive in enumerate(mask) if positive] == expected
    assert in_duckdb(rows, min_rating) == expected
    assert in_sqlite(rows, min_rating) == expected
