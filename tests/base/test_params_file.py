"""An edit changes the values it names, and nothing else."""

import subprocess
from pathlib import Path

import pytest

from base.params import read
from base.params_file import difference, edit

TEXT = """\
# All of it.

fit:
  size: tiny             # tiny | small
  weight_decay: 0.01
  sizes: {choices: [1, 2]}

trees:
  reg: 30.0              # L2
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "params.yaml"
    path.write_text(TEXT)
    return path


def test_comments_and_everything_else_stay(path: Path) -> None:
    edit(path, {"fit.size": "small", "trees.reg": 12.5})
    assert path.read_text() == TEXT.replace("tiny  ", "small ", 1).replace("30.0 ", "12.5 ")


@pytest.mark.parametrize("value", [1e-05, 1.5e-05, 1e20, 0.1, 3, True, "tiny", None])
def test_a_value_is_read_back_as_it_was_written(path: Path, value: object) -> None:
    edit(path, {"fit.weight_decay": value})
    found = read(path)["fit"]["weight_decay"]
    assert (found, type(found)) == (value, type(value))


def test_a_new_key_makes_its_section(path: Path) -> None:
    edit(path, {"gate.min_users": 20})
    assert read(path)["gate"] == {"min_users": 20}


def test_the_difference_is_what_git_applies(path: Path) -> None:
    values = {"fit.size": "small", "fit.weight_decay": 0.02}
    patch = difference(path, values)
    assert path.read_text() == TEXT
    subprocess.run(["git", "apply", "-"], cwd=path.parent, input=patch, text=True, check=True)
    applied = path.read_text()
    path.write_text(TEXT)
    edit(path, values)
    assert path.read_text() == applied
    assert difference(path, values) == ""
