"""A database with the tables of version 1: the statements of that version, and a row in each
table."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from serving.database import open_engine

_FOLDER = Path(__file__).with_name("schema_1")

#: Table to a row of it, in the columns of then.
ROWS: dict[str, dict[str, Any]] = {
    "schema_version": {"name": "rondo", "version": 1},
    "requests": {
        "request_id": "r1", "user_id": "ü1", "placement": "home",
        "timestamp": 1_700_000_000_000_000, "release": "abc", "generation": 3,
        "source": "trees", "fallback": None, "digest": "d", "context": b"\x00\xff",
    },
    "slots": {
        "request_id": "r1", "position": 0, "item_id": "i1", "propensity": 0.1 + 1 / 3,
        "score": None, "reasons": "[]",
    },
    "events": {
        "offset": 1, "event_id": "e1", "user_id": "ü1", "item_id": "i1", "event_type": "click",
        "value": 0.1, "query": "straße 🎷", "timestamp": 1_700_000_000_000_001,
        "received_at": 1_700_000_000_000_002, "placement": "home", "request_id": "r1",
        "position": 0, "propensity": 0.1 + 1 / 3, "release": "abc",
    },
    "dead_letters": {
        "number": 1, "event_id": None, "reason": "bad", "payload": "{}", "received_at": 1,
    },
    "offsets": {"consumer": "events", "offset": 1},
    "items": {
        "sequence": 1, "item_id": "i1", "title": "Töpfe", "description": None, "categories": "[]",
        "price": 1.5, "available": True, "created_at": 1, "image": None, "audio": None,
        "attributes": "{}", "received_at": 1,
    },
    "releases": {
        "release": "abc", "created_at": 1, "path": "/r/abc", "lineage": "{}",
        "decision": "promote", "verdict": "{}", "evidence": None,
    },
    "channels": {"name": "champion", "release": "abc", "generation": 3},
    "channel_moves": {
        "name": "champion", "generation": 3, "release": "abc", "previous": None, "moved_at": 1,
        "reason": "promoted",
    },
    "leases": {"name": "retrain", "holder": None, "expires_at": 0, "fence": 7, "again": False},
}  # fmt: skip
COUNTERS = {"events": 1, "items": 1}


def make(url: str) -> None:
    """Make the tables of version 1 in an empty database, with ROWS and COUNTERS."""
    engine = open_engine(url)
    statements = (_FOLDER / f"{engine.dialect.name}.sql").read_text().split(";\n")
    with engine.begin() as connection:
        for statement in filter(str.strip, statements):
            connection.exec_driver_sql(statement)
        for name, row in ROWS.items():
            connection.execute(insert(name, row), row)
        for name, value in COUNTERS.items():
            row = {"name": name, "value": value}
            connection.execute(insert("counters", row), row)
    engine.dispose()


def insert(table: str, row: dict[str, Any]) -> sa.Insert:
    """Insert a row as a program of version 1 does, which knows no later columns."""
    return sa.table(table, *(sa.column(name) for name in row)).insert()


def rows(connection: sa.Connection, table: str) -> list[dict[str, Any]]:
    """The rows of a table, in the columns of version 1."""
    columns = [sa.column(name) for name in ROWS[table]]
    found = connection.execute(sa.select(*columns).select_from(sa.table(table)))
    return [dict(row) for row in found.mappings()]
