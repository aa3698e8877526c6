"""The allowed steps of a revision. Each one adds something, and each can be repeated safely.

MySQL and MariaDB commit every change of a table by itself. So an interrupted start may leave half a
revision, and the next start checks what exists. Programs of the previous release run beside the new
one for a while, so they must be able to write without knowing what was added.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op


def add_column(table: str, column: sa.Column[Any]) -> None:
    """Add a column.

    Raises ValueError if older programs, which do not fill it, could not insert rows.
    """
    if not column.nullable and column.server_default is None:
        raise ValueError(
            f"{table}.{column.name} must be nullable or have a server_default: the release before "
            "still writes rows without it"
        )
    if column.name not in {known["name"] for known in _inspector().get_columns(table)}:
        op.add_column(table, column)


def add_index(name: str, table: str, columns: list[str]) -> None:
    """Add an index over `columns`."""
    if name not in _indexes(table):
        op.create_index(name, table, columns)


def drop_index(name: str, table: str) -> None:
    """Remove an index, if it is there."""
    if name in _indexes(table):
        op.drop_index(name, table)


def add_table(table: sa.Table) -> None:
    """Create a table with its indexes, or only what is missing."""
    table.create(op.get_bind(), checkfirst=True)
    for index in table.indexes:
        index.create(op.get_bind(), checkfirst=True)


def _indexes(table: str) -> set[str | None]:
    return {index["name"] for index in _inspector().get_indexes(table)}


def _inspector() -> sa.Inspector:
    return sa.inspect(op.get_bind())
