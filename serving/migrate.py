"""Upgrade a database to the tables of this program, by Alembic.

Every start checks the tables. If they are older, one process upgrades them while the others wait.
Revisions are numbered and only add things. So programs of the previous release keep working beside
the new one, and a program that finds a later revision than its own works as before. A change that
older programs cannot work with increases `tables.SCHEMA_VERSION`, and they then refuse to start.
`serving/migrations/README.md` says how to add a column or a table.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from serving import tables

SCRIPTS: Final = Path(__file__).with_name("migrations")
#: On MySQL and MariaDB, how long a start waits for another one that changes the tables.
LOCK_SECONDS: Final = 600
#: PostgreSQL identifies advisory locks by numbers. This one is "rondo" in ASCII.
_LOCK: Final = int.from_bytes(b"rondo")
_REVISION = sa.table("alembic_version", sa.column("version_num", sa.String))

logger = logging.getLogger("rondo.database")


class SchemaVersionError(RuntimeError):
    """The database has other tables than this program needs, and they could not be upgraded."""


@cache
def head() -> str:
    """The newest revision that this program knows."""
    return max(path.name[:4] for path in (SCRIPTS / "versions").glob("[0-9]*.py"))


def upgrade(engine: sa.Engine) -> tuple[str | None, str]:
    """Upgrade the tables to `head()`, or leave later ones as they are. Returns the revision before
    and after.

    Several processes may do this at the same time, and an interrupted upgrade is completed. Raises
    SchemaVersionError if the tables have another SCHEMA_VERSION or cannot be changed.
    """
    found = _at_rest(engine)
    if found is not None:
        return found, found
    with alone(engine) as connection:
        _refuse_another_version(connection)
        before = revision(connection)
        if before is None or before < head():
            logger.info("%s: tables from revision %s to %s", shown(engine), before, head())
            _run(connection, before)
        _fill(connection)
    return before, max(before or "", head())


def revision(connection: sa.Connection) -> str | None:
    """The revision of a database, or None if Alembic has not completed a revision yet.

    Raises SchemaVersionError if the revision is not a number, so not from Rondo.
    """
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(sa.select(_REVISION)).scalar_one_or_none()
    if found is not None and not (len(found) == 4 and found.isdecimal()):
        raise SchemaVersionError(
            f"{shown(connection.engine)} is at revision '{found}', which is not Rondo's: give "
            "Rondo a database of its own"
        )
    return found


@contextmanager
def alone(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction during which no other process changes the tables.

    SQLite: takes the write lock at its beginning. MySQL and MariaDB commit each change of a table
    by itself, so the lock belongs to the connection. It is held until the last commit, so that
    waiting processes then see everything.
    """
    if engine.dialect.name in ("mysql", "mariadb"):
        with engine.connect() as connection, _named_lock(connection), connection.begin():
            yield connection
        return
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        yield connection


@contextmanager
def _named_lock(connection: sa.Connection) -> Iterator[None]:
    """The lock in MySQL and MariaDB for changing the tables of this database."""
    # Lock names are shared by the whole server, and have at most 64 characters.
    name = sa.func.concat("rondo-", sa.func.md5(sa.func.database()))
    with connection.begin():
        taken = connection.scalar(sa.select(sa.func.get_lock(name, LOCK_SECONDS)))
    if taken != 1:
        raise SchemaVersionError(
            f"another process has been changing the tables of {shown(connection.engine)} for "
            f"{LOCK_SECONDS} s: find out why, then start again"
        )
    try:
        yield
    finally:
        with connection.begin():
            connection.execute(sa.select(sa.func.release_lock(name)))


def shown(engine: sa.Engine) -> str:
    """The address of a database without user, password and options."""
    url = engine.url
    return sa.URL.create(
        url.drivername, host=url.host, port=url.port, database=url.database
    ).render_as_string()


def _at_rest(engine: sa.Engine) -> str | None:
    """The revision of a database that needs no upgrade, or None if it may need one."""
    try:
        with engine.connect().execution_options(rondo_reads=True) as connection:
            found = revision(connection)
            _refuse_another_version(connection)
            return found if found and found >= head() and _complete(connection) else None
    except sa.exc.DBAPIError:
        return None  # MariaDB hides tables that are being changed: wait


def _run(connection: sa.Connection, before: str | None) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except sa.exc.DBAPIError as error:
        raise SchemaVersionError(
            f"the tables of {shown(connection.engine)} could not be brought from revision "
            f"{before or 'none'} to {head()}: {str(error.orig).strip()}; run `rondo migrate` as a "
            "database user who may change tables, then start again"
        ) from error


def _refuse_another_version(connection: sa.Connection) -> None:
    if not sa.inspect(connection).has_table("schema_version"):
        return
    found = connection.execute(sa.select(tables.schema_version.c.version)).scalars().all()
    if found and max(found) > tables.SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{shown(connection.engine)} has schema version {max(found)}, this program needs "
            f"{tables.SCHEMA_VERSION}: start the Rondo that wrote it, or a later one"
        )


def _complete(connection: sa.Connection) -> bool:
    known = set(connection.execute(sa.select(tables.counters.c.name)).scalars())
    versions = connection.execute(sa.select(tables.schema_version.c.version)).scalars().all()
    return known >= set(tables.COUNTERS) and len(versions) == 1


def _fill(connection: sa.Connection) -> None:
    """Insert the rows that every database has.

    Older programs without Alembic look for the version.
    """
    known = set(connection.execute(sa.select(tables.counters.c.name)).scalars())
    missing = [{"name": name, "value": 0} for name in tables.COUNTERS if name not in known]
    if missing:
        connection.execute(sa.insert(tables.counters), missing)
    if connection.execute(sa.select(tables.schema_version)).first() is None:
        row = {"name": "rondo", "version": tables.SCHEMA_VERSION}
        connection.execute(sa.insert(tables.schema_version), row)
