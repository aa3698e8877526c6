"""A retrain profits from the warm process but does not need it."""

import shutil
import tempfile
from pathlib import Path

import pytest

from flows.warm_stages import warmed
from flows.workspace import Workspace


def test_where_no_socket_can_be_the_stages_run_in_processes_of_their_own(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A socket's path is at most 107 bytes long; some systems have long temporary folders."""
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    shutil.copy(checkout / "dvc.yaml", tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with warmed(Workspace(tmp_path, checkout), tmp_path / "logs") as path:
        assert path == ""
    assert "too long" in (tmp_path / "logs" / "warm.log").read_text()
    assert list(deep.iterdir()) == []
