"""A database that changes its engine."""

import sqlalchemy as sa

from serving import tables


def move(source: sa.Engine, target: sa.Engine) -> None:
    """All rows of a database to a new one."""
    with source.connect() as rows, target.begin() as connection:
        for table in tables.METADATA.sorted_tables:
            connection.execute(sa.delete(table))
            if found := [dict(row) for row in rows.execute(sa.select(table)).mappings()]:
                connection.execute(sa.insert(table), found)
