"""A server started by a flow ends with it, however the flow ends."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from base.processes import ProcessFailed, Supervised, free_port

FAMILY = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
time.sleep(300)
"""
START = """
import sys, time
from pathlib import Path
from base.processes import Supervised
Supervised("family", [sys.executable, "-c", sys.argv[1]], Path(sys.argv[2]))
time.sleep(300)
"""


def family(process: psutil.Process, count: int) -> list[psutil.Process]:
    deadline = time.monotonic() + 20
    while len(found := process.children(recursive=True)) < count:
        assert time.monotonic() < deadline, "the processes did not start"
        time.sleep(0.05)
    return found


def test_stopping_a_server_ends_all_its_processes(tmp_path: Path) -> None:
    running = Supervised("family", [sys.executable, "-c", FAMILY], tmp_path / "log")
    children = family(psutil.Process(running.process.pid), 2)
    running.stop()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_a_server_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    starter = subprocess.Popen([sys.executable, "-c", START, FAMILY, str(tmp_path / "log")])
    children = family(psutil.Process(starter.pid), 3)
    starter.kill()
    starter.wait()
    _, alive = psutil.wait_procs(children, timeout=15)
    assert not alive


def test_a_server_that_ends_at_once_shows_what_it_printed(tmp_path: Path) -> None:
    running = Supervised(
        "broken", [sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path / "log"
    )
    with pytest.raises(ProcessFailed, match="no such thing"):
        running.wait_until_answers(f"http://127.0.0.1:{free_port()}/", timeout=30)
