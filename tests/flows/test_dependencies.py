"""`dvc.yaml` lists the code that each stage runs, and a command keeps it so."""

import shutil
from pathlib import Path

import pytest

from flows.dependencies import listed, needed, write


def test_every_stage_depends_on_the_code_that_it_runs(checkout: Path) -> None:
    assert listed(checkout) == needed(checkout), "dvc.yaml is behind the code: run `make deps`"


@pytest.fixture
def copy(checkout: Path, tmp_path: Path) -> Path:
    for package in ("base", "features", "training", "serving", "simulation"):
        shutil.copytree(checkout / package, tmp_path / package)
    shutil.copy(checkout / "dvc.yaml", tmp_path)
    return tmp_path


def test_a_new_import_is_written_where_it_belongs_and_nothing_else_changes(copy: Path) -> None:
    path = copy / "dvc.yaml"
    before = path.read_text()
    assert not write(copy)
    assert path.read_text() == before
    (copy / "features/helper.py").write_text("HELP = 1\n")
    with (copy / "features/splits/tokens.py").open("a") as file:
        file.write("\nfrom features import helper\n")
    assert write(copy)
    lines = path.read_text().splitlines()
    added = [line for line in lines if line not in before.splitlines()]
    assert set(added) == {"      - features/helper.py"}
    assert [line for line in lines if line not in added] == before.splitlines()
    # split runs it; evaluate and package name the fingerprint, which is of split's code, too
    assert len(added) == 3
    assert not write(copy)


def test_code_that_nothing_runs_any_more_is_taken_out(copy: Path) -> None:
    path = copy / "dvc.yaml"
    before = path.read_text()
    path.write_text(before.replace("- features/splits\n", "- features/splits\n      - x.py\n"))
    assert write(copy)
    assert path.read_text() == before
