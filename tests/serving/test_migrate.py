"""Older databases are upgraded with all their rows, on SQLite, PostgreSQL and MariaDB."""

import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from serving import migrate, tables
from serving.database import connect, open_engine, reading
from serving.feedback_log import FeedbackLog
from serving.migrate import SchemaVersionError, head
from tests.serving import old_schema
from tests.serving.conftest import empty_database
from tests.serving.starts import at_once
from tests.serving.test_feedback_log import event, slate


def differences(engine: sa.Engine) -> list[Any]:
    """How a database's tables differ from those of this program."""
    with engine.connect() as connection:
        found: list[Any] = compare_metadata(MigrationContext.configure(connection), tables.METADATA)
        return found


def stand(engine: sa.Engine) -> str | None:
    with reading(engine) as connection:
        return migrate.revision(connection)


@pytest.mark.parametrize("began", ["empty", "version 1"])
def test_what_the_revisions_make_is_what_the_program_says(database_url: str, began: str) -> None:
    if began == "version 1":
        old_schema.make(database_url)
        old = open_engine(database_url)
        assert differences(old) != []
        old.dispose()
    engine = connect(database_url)
    assert differences(engine) == []
    assert stand(engine) == head()
    engine.dispose()


def test_a_database_of_version_1_keeps_its_rows_and_is_written_to(database_url: str) -> None:
    old_schema.make(database_url)
    engine = connect(database_url)
    with reading(engine) as connection:
        for name, row in old_schema.ROWS.items():
            assert old_schema.rows(connection, name) == [row], name
    log = FeedbackLog(engine)
    assert log.append(slates=[slate("r2", "i1")], events=[event("e2")]).last_offset == 3
    assert log.append(events=[event("e1"), event("e3")]).events == {"e3"}
    engine.dispose()


def test_the_program_of_version_1_goes_on_writing_beside_the_new_one(database_url: str) -> None:
    old_schema.make(database_url)
    engine = connect(database_url)
    later = {
        "requests": {"request_id": "r2"},
        "slots": {"request_id": "r2"},
        "events": {"offset": 2, "event_id": "e2"},
        "dead_letters": {"number": 2},
        "offsets": {"consumer": "items"},
        "items": {"sequence": 2},
        "releases": {"release": "def"},
        "channels": {"name": "canary"},
        "channel_moves": {"generation": 4},
        "leases": {"name": "other"},
    }
    assert set(later) == set(old_schema.ROWS) - {"schema_version"}
    with engine.begin() as connection:
        versions = connection.execute(sa.select(tables.schema_version.c.version)).scalars().all()
        assert versions == [1]  # what a program of then looks for
        for name, key in later.items():
            row = old_schema.ROWS[name] | key
            connection.execute(old_schema.insert(name, row), row)
            assert row in old_schema.rows(connection, name)
    engine.dispose()


def test_starts_at_the_same_time_bring_it_up_once(database_url: str) -> None:
    old_schema.make(database_url)
    assert at_once(database_url, lambda _, number: number, count=6) == list(range(6))
    engine = open_engine(database_url)
    assert differences(engine) == []
    engine.dispose()


def test_whoever_waited_to_change_the_tables_sees_what_was_changed(database_url: str) -> None:
    connect(database_url).dispose()
    first, second = open_engine(database_url), open_engine(database_url)
    sa.event.listen(first, "commit", lambda _: time.sleep(0.5))
    names = sa.select(tables.counters.c.name)

    def look() -> list[str]:
        with migrate.alone(second) as connection:
            return list(connection.execute(names).scalars())

    with ThreadPoolExecutor(1) as pool:
        with migrate.alone(first) as connection:
            connection.execute(sa.insert(tables.counters), {"name": "later", "value": 0})
            waiting = pool.submit(look)
            time.sleep(0.2)
        assert "later" in waiting.result()
    first.dispose()
    second.dispose()


def test_a_start_that_was_killed_half_way_is_finished_by_the_next(database_url: str) -> None:
    """MySQL and MariaDB commit each statement by itself.

    Here tables were created, one of them without its index, and no revision was recorded.
    """
    connect(database_url).dispose()
    engine = open_engine(database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM alembic_version"))
        next(i for i in tables.events.indexes if i.name == "events_by_user").drop(connection)
        connection.execute(sa.text("DELETE FROM counters WHERE name = 'items'"))
    engine.dispose()
    engine = connect(database_url)
    assert (stand(engine), differences(engine)) == (head(), [])
    engine.dispose()


def test_a_later_revision_is_left_as_it_is_and_worked_with(database_url: str) -> None:
    engine = connect(database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(sa.text("ALTER TABLE events ADD COLUMN later INTEGER"))
    engine.dispose()
    engine = connect(database_url)
    assert stand(engine) == "9999"
    assert FeedbackLog(engine).append(events=[event("e")]).last_offset == 1
    engine.dispose()


def test_a_database_of_another_version_is_refused_with_both(database_url: str) -> None:
    engine = connect(database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE schema_version SET version = 99"))
    engine.dispose()
    with pytest.raises(SchemaVersionError, match="version 99, this program needs 1"):
        connect(database_url)


def test_a_database_that_alembic_of_another_program_keeps_is_refused(database_url: str) -> None:
    engine = connect(database_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = 'ae1027a6acf'"))
    engine.dispose()
    with pytest.raises(SchemaVersionError, match="'ae1027a6acf', which is not Rondo's"):
        connect(database_url)


@pytest.mark.servers
def test_a_user_who_may_not_change_tables_is_told_the_command_and_no_password() -> None:
    with empty_database("RONDO_TEST_POSTGRES_URL") as url:
        old_schema.make(url)
        owner = open_engine(url)
        role = sa.make_url(url).database
        with owner.begin() as connection:
            connection.exec_driver_sql(f"DROP ROLE IF EXISTS {role}")
            connection.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'sesame-1'")
            connection.exec_driver_sql("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
            connection.exec_driver_sql(
                f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA public TO {role}"
            )
            connection.exec_driver_sql(
                f"ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE ON TABLES TO {role}"
            )
        plain = sa.make_url(url).set(username=role, password="sesame-1")
        with pytest.raises(SchemaVersionError, match="run `rondo migrate` as") as caught:
            connect(plain.render_as_string(hide_password=False))
        assert f"from revision none to {head()}" in str(caught.value)
        assert "sesame" not in str(caught.value)
        migrate.upgrade(owner)
        served = connect(plain.render_as_string(hide_password=False))
        assert FeedbackLog(served).append(events=[event("e2")]).last_offset == 2
        served.dispose()
        with owner.begin() as connection:
            connection.exec_driver_sql(f"DROP OWNED BY {role}")
            connection.exec_driver_sql(f"DROP ROLE {role}")
        owner.dispose()


def test_where_a_database_is_says_no_password() -> None:
    url = "postgresql+psycopg://ann:sesame-1@db.example/rondo?password=sesame-2"
    assert migrate.shown(open_engine(url)) == "postgresql+psycopg://db.example/rondo"


def test_revisions_are_numbered_without_a_gap() -> None:
    found = [script.revision for script in ScriptDirectory(migrate.SCRIPTS).walk_revisions()]
    assert found == [f"{number:04d}" for number in range(len(found), 0, -1)]
    assert found[0] == head()


def test_nothing_that_version_1_writes_was_taken_away(tmp_path: Path) -> None:
    """While `tables.SCHEMA_VERSION` is 1, every change is an addition."""
    old_schema.make(url := f"sqlite:///{tmp_path / 'old.db'}")
    old = sa.MetaData()
    engine = open_engine(url)
    old.reflect(engine)
    engine.dispose()
    for name, table in old.tables.items():
        now = tables.METADATA.tables[name].c
        assert set(table.c.keys()) <= set(now.keys())
        for added in set(now.keys()) - set(table.c.keys()):
            column = now[added]
            assert column.nullable or column.server_default is not None, f"{name}.{added}"


def test_alembic_works_from_the_checkout_as_its_users_know_it(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RONDO_HOME", str(tmp_path))
    monkeypatch.delenv("RONDO_DATABASE_URL", raising=False)
    old_schema.make(f"sqlite:///{tmp_path / 'rondo.db'}")

    def alembic(*arguments: str) -> str:
        ran = subprocess.run(
            ["alembic", *arguments], cwd=checkout, capture_output=True, text=True, check=True
        )
        return ran.stdout

    assert alembic("current") == ""
    alembic("upgrade", "head")
    assert alembic("current").strip() == f"{head()} (head)"
    assert "No new upgrade operations" in alembic("check")
