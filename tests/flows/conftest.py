"""Small repositories, workspaces and databases for flows to work in."""

import subprocess
from pathlib import Path

import pytest

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
