"""Opening the database: tables, schema version, durability settings."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from base.errors import InputError
from serving import tables
from serving.database import connect, lock_counter, reading, writing
from tests.serving.conftest import empty_database
from tests.serving.starts import at_once


def test_opening_makes_every_table_once(database_url: str, table_names: set[str]) -> None:
    for _ in range(2):
        engine = connect(database_url)
        assert table_names <= set(sa.inspect(engine).get_table_names())
        engine.dispose()


def test_processes_that_start_together_agree_on_one_database(database_url: str) -> None:
    assert at_once(database_url, lambda _, number: number, count=8) == list(range(8))
    engine = connect(database_url)
    with reading(engine) as connection:
        versions = connection.execute(sa.text("SELECT version FROM schema_version")).all()
    engine.dispose()
    assert len(versions) == 1


def test_a_database_that_another_process_has_only_begun_to_make_is_completed(
    database_url: str,
) -> None:
    """MySQL commits each table by itself, so others see a part of them."""
    begun = sa.create_engine(database_url)
    tables.schema_version.create(begun)
    begun.dispose()
    engine = connect(database_url)
    assert set(sa.inspect(engine).get_table_names()) >= set(tables.METADATA.tables)
    engine.dispose()


def test_sqlite_commits_survive_a_power_cut(sqlite: sa.Engine) -> None:
    with reading(sqlite) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL


def test_a_reader_waits_for_no_writer(sqlite: sa.Engine) -> None:
    with writing(sqlite) as writer:
        assert lock_counter(writer, "events") == 0
        with reading(sqlite) as reader:
            assert reader.execute(sa.text("SELECT count(*) FROM events")).scalar() == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sesame", "is not a database URL"),
        ("postgresql+psycopg://ann:ses@ame@host:sesame/rondo", "is not a database URL"),
        ("postgresql+sesame://ann:sesame@host/rondo", "no driver for postgresql"),
        ("oracle://ann:sesame@host/rondo", "'oracle' is not supported"),
    ],
)
def test_a_url_that_cannot_be_used_is_one_line_without_its_password(url: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        connect(url)
    assert ":sesame@" not in str(caught.value)
    assert "ame@" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.servers
@pytest.mark.parametrize("variable", ["RONDO_TEST_POSTGRES_URL", "RONDO_TEST_MYSQL_URL"])
def test_a_refused_login_names_no_password(variable: str) -> None:
    with empty_database(variable) as url:
        wrong = sa.make_url(url).set(username="nobody", password="sesame-1", query={})
        with pytest.raises(sa.exc.OperationalError) as caught:
            connect(wrong.render_as_string(hide_password=False))
    assert "nobody" in str(caught.value)
    assert "sesame" not in str(caught.value)


def test_an_unknown_dialect_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'mssql' is not supported"):
        connect(f"mssql+pyodbc://{tmp_path.name}")
