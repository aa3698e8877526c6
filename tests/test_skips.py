"""The last lines of a run list skipped tests, and CI fails if they could have run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.skips import STRICT

TESTS = """
import pytest

def test_that_runs():
    pass

def test_without_a_server():
    pytest.skip("RONDO_TEST_SERVER is not set")

@pytest.mark.skipif(True, reason="this machine has no tape drive")
def test_of_tapes():
    pass

def test_that_is_heavy():
    pass
"""


def run(checkout: Path, folder: Path, strict: str, *words: str) -> tuple[int, list[str]]:
    (folder / "test_some.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.skips", *words, str(folder)]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {STRICT: strict, "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout.splitlines()


def test_every_skip_and_its_reason_stand_in_the_last_lines(checkout: Path, tmp_path: Path) -> None:
    code, lines = run(checkout, tmp_path, "0", "-k", "not heavy")
    assert code == 0
    told = lines[-4:]
    assert told[0].endswith("test_without_a_server: RONDO_TEST_SERVER is not set")
    assert told[1].endswith("test_of_tapes: this machine has no tape drive")
    assert told[2].startswith("not chosen: 1 tests")
    assert "1 passed, 2 skipped, 1 deselected" in told[3]


@pytest.mark.parametrize(
    ("chosen", "code"), [("", 1), ("not server", 0), ("tapes", 0), ("server", 1)]
)
def test_a_skip_that_need_not_be_fails_where_ci_asks(
    checkout: Path, tmp_path: Path, chosen: str, code: int
) -> None:
    found, lines = run(checkout, tmp_path, "1", "-k", chosen)
    assert found == code
    named = [line for line in lines if line.startswith(STRICT)]
    assert [line.endswith("test_without_a_server") for line in named] == [True] * code
