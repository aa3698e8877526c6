"""The database: SQLite by default, Postgres or MySQL by URL. Every commit is durable.

Use `writing(engine)` to write and `reading(engine)` to read. On SQLite, a write transaction takes
the write lock at its beginning (`BEGIN IMMEDIATE`), because reading first and writing later would
fail under load.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from base.errors import InputError
from serving import migrate, tables

BUSY_TIMEOUT_MS = 30_000

_counter = tables.counters.c.name == sa.bindparam("counter")
_LOCK = sa.select(tables.counters.c.value).where(_counter).with_for_update()
_ADVANCE = sa.update(tables.counters).where(_counter).values(value=sa.bindparam("value"))


def connect(url: str) -> sa.Engine:
    """An engine with the tables of this program. Older tables are upgraded first.

    Raises `migrate.SchemaVersionError` if they cannot be, and InputError as `open_engine` does.
    """
    engine = open_engine(url)
    try:
        migrate.upgrade(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def open_engine(url: str) -> sa.Engine:
    """An engine, not yet connected, with whatever tables there are.

    Raises InputError for an invalid URL, for an unknown kind of database and for a missing driver.
    The message shows no part of the URL.
    """
    try:
        parsed = sa.make_url(url)
        dialect = parsed.get_backend_name()
    except (sa.exc.ArgumentError, ValueError):
        raise InputError(
            "RONDO_DATABASE_URL is not a database URL, such as postgresql+psycopg://user:password@host/"
            "name. Write special characters in a password as %25 (for %) and so on"
        ) from None
    if dialect == "sqlite":
        if parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    if dialect not in ("postgresql", "mysql", "mariadb"):
        raise InputError(f"'{dialect}' is not supported: use sqlite, postgresql or mysql")
    try:
        return sa.create_engine(
            parsed, isolation_level="READ COMMITTED", pool_pre_ping=True, pool_recycle=1800
        )
    except (ImportError, sa.exc.NoSuchModuleError) as error:
        raise InputError(
            f"no driver for {parsed.drivername}: use postgresql+psycopg:// after `pip install -e "
            f"'.[postgres]'`, mysql+pymysql:// after `pip install -e '.[mysql]'` ({error})"
        ) from None


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that commits when the block ends and rolls back when it raises."""
    with engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A read-only transaction. On SQLite it does not wait for writers."""
    with engine.connect().execution_options(rondo_reads=True) as connection:
        yield connection


def lock_counter(connection: sa.Connection, name: str) -> int:
    """The last number given out by counter `name`, which stays locked until this transaction
    ends."""
    return int(connection.execute(_LOCK, {"counter": name}).scalar_one())


def advance_counter(connection: sa.Connection, name: str, value: int) -> None:
    """Set a counter that this transaction has locked."""
    connection.execute(_ADVANCE, {"counter": name, "value": value})


def insert_missing(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> None:
    """Insert a row unless a row with the same primary key exists.

    Transactions that insert at the same time wait for each other, and the later ones see the first
    one's row.
    """
    key = list(table.primary_key.columns)
    if connection.dialect.name in ("mysql", "mariadb"):
        # IGNORE would lock the row for reading, and two transactions that then update it would
        # deadlock.
        same = {column.name: column for column in key}
        connection.execute(mysql.insert(table).values(row).on_duplicate_key_update(same))
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(insert(table).values(row).on_conflict_do_nothing(index_elements=key))


def _configure_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    cursor = connection.cursor()
    for pragma in (
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "synchronous=FULL",
        "fullfsync=ON",
        "foreign_keys=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    _use_wal(cursor)
    cursor.close()


def _use_wal(cursor: Any) -> None:
    """Switch SQLite to WAL.

    Retries, as SQLite does not wait if several processes switch at the same time.
    """
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: sa.Connection) -> None:
    reads = connection.get_execution_options().get("rondo_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
