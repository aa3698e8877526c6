"""The next process removes what a killed process left on the disk."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from base.scratch import PREFIX, YOUNG_SECONDS, remove_left

SPILLS = """
import sys
from features.event_log import connect
connection = connect()
connection.execute("SET memory_limit = '60MB'")
connection.execute("CREATE TABLE big AS SELECT md5(range::VARCHAR) AS b FROM range(3000000)")
print("spilled", flush=True)
sys.stdin.read()
"""


def spilling(folder: Path, checkout: Path) -> "subprocess.Popen[str]":
    """A process whose DuckDB has written to a folder in `folder`, and which then waits."""
    process = subprocess.Popen(
        [sys.executable, "-c", SPILLS],
        env=os.environ | {"TMPDIR": str(folder), "PYTHONPATH": str(checkout)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "spilled\n"
    assert size(folder) > 1_000_000
    return process


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def age(folder: Path) -> None:
    for path in folder.glob(f"{PREFIX}*"):
        os.utime(path, (time.time() - 2 * YOUNG_SECONDS,) * 2)


def test_a_process_that_ends_leaves_nothing(tmp_path: Path, checkout: Path) -> None:
    process = spilling(tmp_path, checkout)
    process.communicate("", timeout=30)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_a_killed_process_spilled_goes_with_the_next_one(
    tmp_path: Path, checkout: Path, number: signal.Signals
) -> None:
    process = spilling(tmp_path, checkout)
    age(tmp_path)
    remove_left(tmp_path)
    assert size(tmp_path) > 1_000_000  # it lives
    process.send_signal(number)
    process.communicate(timeout=30)
    age(tmp_path)
    remove_left(tmp_path)
    assert list(tmp_path.iterdir()) == []
