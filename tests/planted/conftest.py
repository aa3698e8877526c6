"""A market with its champion, and homes to judge in. Run with RONDO_PLANTED_REPORT=FILE, the number
of blocked plants is also written there."""

import gc
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from base.processes import api_url, free_port, prefect_server, wait_for_prefect
from base.settings import Settings
from flows.rollout import Rollout
from serving.database import connect
from tests.features.logs import at
from tests.flows.rivals import YESTERDAY, Rivals, make_rivals
from tests.planted.runs import Checker, Installation, Tally


@pytest.fixture(scope="package")
def tally() -> Iterator[Tally]:
    """Counts the plants of this run, and writes `planted.json`."""
    found = Tally()
    yield found
    default = Path(os.environ["RONDO_HOME"]) / "planted.json"
    found.write(Path(os.environ.get("RONDO_PLANTED_REPORT", default)))


@pytest.fixture(scope="package")
def rivals(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Rivals:
    return make_rivals(tmp_path_factory.mktemp("rivals"), checkout)


@pytest.fixture(scope="package", autouse=True)
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Prefect server that accepts artifacts of verdicts."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", api_url(port))
        with (
            prefect_server(tmp_path_factory.mktemp("prefect"), port) as running,
            temporary_settings({PREFECT_API_URL: api_url(port)}),
        ):
            wait_for_prefect(running, port)
            yield
    gc.collect()  # its clients, before the next file counts open sockets


@pytest.fixture(scope="package")
def promoted(rivals: Rivals, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the champion was judged and promoted."""
    home = tmp_path_factory.mktemp("promoted") / "home"
    engine = connect(f"sqlite:///{home / 'rondo.db'}")
    first = Installation(Rollout(Settings(home=home), engine))
    judgement = first.judge(rivals.champion)
    assert judgement.verdict.decision == "promote", judgement.verdict.reasons
    first.rollout.promote(judgement.release, judgement.champion, at(YESTERDAY), None)
    engine.dispose()
    return home


@pytest.fixture(scope="package")
def checker(checkout: Path) -> Iterator[Checker]:
    started = Checker(checkout)
    yield started
    started.close()


@pytest.fixture
def installation(promoted: Path, checker: Checker, tmp_path: Path) -> Iterator[Installation]:
    """A copy of that home."""
    home = tmp_path / "home"
    shutil.copytree(promoted, home)
    yield from _opened(home, checker)


@pytest.fixture
def empty_home(checker: Checker, tmp_path: Path) -> Iterator[Installation]:
    """A home without a champion."""
    yield from _opened(tmp_path / "first", checker)


def _opened(home: Path, checker: Checker) -> Iterator[Installation]:
    engine = connect(f"sqlite:///{home / 'rondo.db'}")
    yield Installation(Rollout(Settings(home=home), engine), checker)
    engine.dispose()
