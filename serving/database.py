"""The one database: SQLite by default, Postgres or MySQL by URL; every commit is durable.

Writers use `writing(engine)`, readers `reading(engine)`. On SQLite a write transaction takes the
write lock when it begins (`BEGIN IMMEDIATE`): read-then-write in a deferred one fails under load.
"""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from serving import tables

BUSY_TIMEOUT_MS = 30_000
COUNTERS = ("events", "items")

_counter = tables.counters.c.name == sa.bindparam("counter")
_LOCK = sa.select(tables.counters.c.value).where(_counter).with_for_update()
_ADVANCE = sa.update(tables.counters).where(_counter).values(value=sa.bindparam("value"))


class SchemaVersionError(RuntimeError):
    """The database was made by another version of Rondo."""


def connect(url: str) -> sa.Engine:
    """An engine whose tables exist and have this program's schema version.

    Raises SchemaVersionError otherwise, naming both versions; ValueError for a dialect other
    than SQLite, PostgreSQL and MySQL/MariaDB.
    """
    parsed = sa.make_url(url)
    dialect = parsed.get_backend_name()
    if dialect == "sqlite":
        if parsed.database and parsed.database != ":memory:":
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_MS / 1000})
        sa.event.listen(engine, "connect", _configure_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    elif dialect in ("postgresql", "mysql", "mariadb"):
        engine = sa.create_engine(
            parsed, isolation_level="READ COMMITTED", pool_pre_ping=True, pool_recycle=1800
        )
    else:
        raise ValueError(f"'{dialect}' is no database Rondo knows: sqlite, postgresql or mysql")
    try:
        _prepare(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


@contextmanager
def writing(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that commits when the block ends and rolls back when it raises."""
    with engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that only reads: on SQLite it waits for no writer."""
    with engine.connect().execution_options(rondo_reads=True) as connection:
        yield connection


def lock_counter(connection: sa.Connection, name: str) -> int:
    """The last number given out by `name`, locked until this transaction ends."""
    return int(connection.execute(_LOCK, {"counter": name}).scalar_one())


def advance_counter(connection: sa.Connection, name: str, value: int) -> None:
    """Set a counter that this transaction has locked."""
    connection.execute(_ADVANCE, {"counter": name, "value": value})


def _prepare(engine: sa.Engine) -> None:
    """Make the tables where there are none, else check their version.

    The version is written last: without it, somebody may be making the tables at this moment.
    """
    if not _has_version(engine):
        _create(engine)
    with writing(engine) as connection:
        found = connection.execute(sa.select(tables.schema_version.c.version)).scalars().all()
        if found and set(found) != {tables.SCHEMA_VERSION}:
            raise SchemaVersionError(
                f"the database at {engine.url.render_as_string()} has schema version {found[0]}, "
                f"this program needs {tables.SCHEMA_VERSION}: use the Rondo that wrote it, or "
                "point RONDO_DATABASE_URL at a new database"
            )
        known = set(connection.execute(sa.select(tables.counters.c.name)).scalars())
        for name in COUNTERS:
            if name not in known:
                _insert_once(connection, tables.counters, {"name": name, "value": 0})
        if not found:
            row = {"name": "rondo", "version": tables.SCHEMA_VERSION}
            _insert_once(connection, tables.schema_version, row)


def _has_version(engine: sa.Engine) -> bool:
    if not sa.inspect(engine).has_table("schema_version"):
        return False
    with reading(engine) as connection:
        found = connection.execute(sa.select(tables.schema_version.c.version).limit(1))
        return found.scalar_one_or_none() is not None


def _create(engine: sa.Engine, attempts: int = 20) -> None:
    """Make what is missing. Processes that start together trip over each other: look again."""
    for attempt in range(attempts):
        try:
            return tables.METADATA.create_all(engine)
        except sa.exc.DBAPIError:
            if attempt == attempts - 1:
                raise
    return None


def _insert_once(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> None:
    try:
        with connection.begin_nested():
            connection.execute(sa.insert(table), row)
    except sa.exc.IntegrityError:
        pass  # another process was first, which is as good


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
    """SQLite does not wait for the busy timeout where several change the journal mode at once."""
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
