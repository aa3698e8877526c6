"""The same tests on every database: always on SQLite, and on real servers whose URL is given."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa

from base.settings import Settings
from features.online import OnlineStore
from serving import tables
from serving.database import connect
from serving.live import Live, empty, with_release
from serving.policy import PolicyParams
from serving.release import Release
from tests.serving.kit import Kit
from tests.serving.small import make_release

SERVERS = {
    "sqlite": None,
    "postgres": "RONDO_TEST_POSTGRES_URL",
    "mysql": "RONDO_TEST_MYSQL_URL",
}
_NUMBERS = count()
DATABASES = [
    pytest.param(name, marks=[pytest.mark.servers] if variable else [])
    for name, variable in SERVERS.items()
]


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of an empty database."""
    variable = SERVERS[request.param]
    if variable is None:
        yield f"sqlite:///{tmp_path / 'rondo.db'}"
        return
    with empty_database(variable) as url:
        yield url


@contextmanager
def empty_database(variable: str) -> Iterator[str]:
    """The URL of a fresh database on the server that an environment variable names."""
    server = os.environ.get(variable)
    if not server:
        pytest.skip(f"{variable} is not set")
    name = f"rondo_test_{os.getpid()}_{next(_NUMBERS)}"
    url = sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    try:
        drop(url, server)
        with _server(server).connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        yield url
    finally:
        drop(url, server)


def drop(url: str, server: str) -> None:
    """Remove a database of `server` (a URL), and end all sessions that use it, also those of
    killed processes."""
    name, engine = sa.make_url(url).database, _server(server)
    sessions = sa.text("SELECT id FROM information_schema.processlist WHERE db = :name")
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            return
        connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name}"))
        for session in connection.execute(sessions, {"name": name}).scalars().all():
            with suppress(sa.exc.OperationalError):  # it ended by itself meanwhile
                connection.execute(sa.text(f"KILL {session}"))


def _server(url: str) -> sa.Engine:
    return sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)


@pytest.fixture
def engine(database_url: str) -> Iterator[sa.Engine]:
    """An empty database of this program's schema."""
    engine = connect(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[sa.Engine]:
    """An empty SQLite database, for tests that do not depend on the database."""
    engine = connect(f"sqlite:///{tmp_path / 'only.db'}")
    yield engine
    engine.dispose()


@pytest.fixture
def table_names() -> set[str]:
    return set(tables.METADATA.tables)


@pytest.fixture(scope="package")
def releases(tmp_path_factory: pytest.TempPathFactory) -> tuple[Release, Release]:
    folder = tmp_path_factory.mktemp("releases")
    diverse = PolicyParams(temperature=0.5, epsilon=0.2, diversity=0.5)
    make_release(folder / "a", policy=diverse)
    make_release(folder / "b", seed=2)
    return Release.open(folder / "a"), Release.open(folder / "b")


@pytest.fixture(scope="package")
def online(tmp_path_factory: pytest.TempPathFactory) -> OnlineStore:
    return OnlineStore(Settings(home=tmp_path_factory.mktemp("online")))


@pytest.fixture
def live(releases: tuple[Release, Release]) -> Live:
    return with_release(empty(), releases[0], None)


@pytest.fixture
def kit(live: Live, online: OnlineStore, sqlite: sa.Engine) -> Iterator[Kit]:
    kit = Kit(live, online, sqlite)
    yield kit
    kit.writer.close()
