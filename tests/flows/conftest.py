"""Small repositories, workspaces and databases for tests of flows."""

import gc
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from base.processes import api_url, free_port, prefect_server, wait_for_prefect
from flows.workspace import Workspace, prepare
from tests.serving.conftest import database_url, engine, sqlite

__all__ = ["database_url", "engine", "sqlite"]  # fixtures: an empty database of each kind

PIPELINE = """
stages:
  split:
    cmd: exec cp -r ${input} data/split
    deps: ["${input}"]
    outs: [data/split]
  package:
    cmd: exec cp -r data/split data/release
    deps: [data/split]
    outs: [data/release]
"""


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def small_checkout(tmp_path: Path) -> Path:
    """A repository with a pipeline of two stages."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "-q")
    subprocess.run(["dvc", "init", "-q"], cwd=folder, check=True)
    (folder / ".gitignore").write_text("/data/split\n/data/release\n/data/log\n")
    (folder / "params.yaml").write_text(
        "# why\ninput: data/world\nworld: {seed: 1}\ningest: {mapping: {}}\n"
    )
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "old.py").write_text("x = 1\n")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "start")
    return folder


@pytest.fixture
def workspace(small_checkout: Path) -> Workspace:
    """A workspace of that repository."""
    home = small_checkout.parent / "home"
    return prepare(home / "workspace", small_checkout, str(home / "remote"))


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], None]]:
    """A starting Prefect server that accepts artifacts of verdicts.

    Call it to wait until it is up.
    """
    from prefect.settings import PREFECT_API_URL, temporary_settings

    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PREFECT_API_URL", api_url(port))
        with (
            prefect_server(tmp_path_factory.mktemp("prefect"), port) as running,
            temporary_settings({PREFECT_API_URL: api_url(port)}),
        ):
            yield lambda: wait_for_prefect(running, port)
    gc.collect()  # its clients, before the next file counts open sockets
