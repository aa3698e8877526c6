"""RecTools' environment is pinned whole, with the torch that Rondo has."""

import tomllib
from pathlib import Path

import pytest

from benchmarks import rectools_environment
from benchmarks.rectools_environment import CONSTRAINTS, EnvironmentFailed, is_complete, make


def test_every_version_is_exact_and_torch_is_ours(checkout: Path) -> None:
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 for line in lines)
    needs = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]["dependencies"]
    torch = [line for line in needs if line.startswith("torch")]
    assert torch == [line for line in lines if line.startswith("torch==")]


def test_an_environment_of_other_versions_is_not_complete(tmp_path: Path) -> None:
    assert not is_complete(tmp_path)
    (tmp_path / rectools_environment.INSTALLED).write_text("rectools==0.1\n")
    assert not is_complete(tmp_path)
    (tmp_path / rectools_environment.INSTALLED).write_text(CONSTRAINTS.read_text())
    assert is_complete(tmp_path)


def test_a_failed_installation_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rectools_environment, "REQUIREMENT", str(tmp_path / "absent"))
    with pytest.raises(EnvironmentFailed, match="could not be installed") as failed:
        make(tmp_path / "environment")
    assert "\n" not in str(failed.value)
    assert not is_complete(tmp_path / "environment")
