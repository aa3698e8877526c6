"""Stages run one at a time, leave no orphans, and replace their outputs whole."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from features.stage import replace_folder

STAGE = """
import sys, time
from pathlib import Path
from features.stage import stage_guard
with stage_guard(Path(sys.argv[1])):
    Path(sys.argv[2]).write_text(str(__import__("os").getpid()))
    time.sleep(60)
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_for(condition: object, seconds: float = 20.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_stage_dies_with_its_parent(tmp_path: Path, checkout: Path) -> None:
    mark = tmp_path / "pid"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, STAGE, str(tmp_path / "lock"), str(mark)], cwd=checkout
    )
    assert wait_for(lambda: mark.exists() and mark.read_text())
    pid = int(mark.read_text())
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_for(lambda: not alive(pid))


def test_a_stage_stops_at_its_time_limit(tmp_path: Path, checkout: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", STAGE, str(tmp_path / "lock"), str(tmp_path / "pid")],
        cwd=checkout,
        env=os.environ | {"RONDO_STAGE_TIME_LIMIT": "0.5"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert result.returncode == 1
    assert "over its time limit" in result.stderr


def test_an_output_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with replace_folder(output) as folder:
        (folder / "a").write_text("first")

    def fail() -> None:
        with replace_folder(output) as folder:
            (folder / "a").write_text("half")
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        fail()
    assert (output / "a").read_text() == "first"
    with replace_folder(output) as folder:
        (folder / "b").write_text("second")
    assert [p.name for p in output.iterdir()] == ["b"]


def test_a_stage_whose_parent_died_during_its_imports_does_not_begin(
    tmp_path: Path, checkout: Path
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    result = subprocess.run(
        [sys.executable, "-c", STAGE, str(tmp_path / "lock"), str(tmp_path / "pid")],
        cwd=checkout,
        env=os.environ | {"RONDO_STAGE_PARENT": str(gone.pid)},
        timeout=30,
        check=False,
    )
    assert result.returncode == 1
    assert not (tmp_path / "pid").exists()
