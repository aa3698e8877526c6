"""The query plans that SQLite uses for the statements that some code runs, with their real
values."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa


@contextmanager
def recorded(engine: sa.Engine) -> Iterator[dict[str, list[str]]]:
    """Statement to the steps of its plan, for everything that runs in the block."""
    ran: dict[str, Any] = {}
    plans: dict[str, list[str]] = {}

    def note(_c: Any, _cursor: Any, statement: str, values: Any, _ctx: Any, many: bool) -> None:
        if statement.startswith(("SELECT", "UPDATE", "INSERT", "DELETE")):
            ran[statement] = values[0] if many else values

    sa.event.listen(engine, "before_cursor_execute", note)
    try:
        yield plans
    finally:
        sa.event.remove(engine, "before_cursor_execute", note)
    with engine.connect() as connection:
        for statement, values in ran.items():
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            plans[statement] = [row[3] for row in rows]


def scans(plans: dict[str, list[str]], tables: set[str]) -> list[str]:
    """The statements that read one of these tables from end to end."""
    return [
        f"{step}: {statement}"
        for statement, steps in plans.items()
        for step in steps
        if step.startswith("SCAN") and step.split()[1] in tables
    ]
