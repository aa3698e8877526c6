"""Stages run one at a time, with their flow, and leave no orphans."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

#: A stage that is killed while it still imports: it never gets to a line of its own.
STAGE = """
import os, sys, time
from pathlib import Path
Path(sys.argv[1]).write_text(str(os.getpid()))
time.sleep(float(sys.argv[2]))
print("done", __name__, sys.argv[1:])
"""
PARENT = "import subprocess, sys; subprocess.run([sys.executable, *sys.argv[1:]])"


@pytest.fixture
def workspace(tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a stage of its own, `slow`."""
    (tmp_path / "slow.py").write_text(STAGE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(checkout))
    return tmp_path


def command(seconds: float) -> list[str]:
    return ["-m", "base.stage", "slow", "pid", str(seconds)]


def run(seconds: float, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *command(seconds)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def wait_for(condition: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def written(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@pytest.mark.usefixtures("workspace")
def test_a_stage_runs_as_the_main_module_with_its_own_arguments() -> None:
    assert run(0).stdout.strip() == "done __main__ ['pid', '0']"


def test_a_stage_dies_with_its_parent_also_while_it_imports(workspace: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *command(60)])
    assert wait_for(lambda: written(workspace / "pid"), 20)
    stage = int(written(workspace / "pid"))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert wait_for(lambda: not alive(stage), 10)


def test_a_stage_whose_flow_died_before_it_began_does_not_begin(workspace: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert run(0, RONDO_STAGE_PARENT=str(gone.pid)).returncode == 1
    assert not (workspace / "pid").exists()


def test_sigterm_ends_a_stage_that_holds_the_interpreter(workspace: Path) -> None:
    (workspace / "slow.py").write_text(STAGE.replace("time.sleep", "ctypes.PyDLL(None).sleep"))
    hold = (workspace / "slow.py").read_text().replace("import os", "import ctypes, os")
    (workspace / "slow.py").write_text(hold.replace("float(sys.argv[2])", "60"))
    stage = subprocess.Popen([sys.executable, *command(60)])
    assert wait_for(lambda: written(workspace / "pid"), 20)
    stage.terminate()
    assert wait_for(lambda: stage.poll() == -signal.SIGTERM, 10)


@pytest.mark.usefixtures("workspace")
def test_a_stage_stops_at_its_time_limit() -> None:
    result = run(60, RONDO_STAGE_TIME_LIMIT="0.5")
    assert result.returncode == 1
    assert "over its time limit of 0 s, which RONDO_STAGE_TIME_LIMIT sets" in result.stderr


def test_a_stage_waits_for_the_same_one_that_still_runs(workspace: Path) -> None:
    (workspace / "slow.py").write_text(STAGE + 'Path("ended").write_text(sys.argv[2])')
    with subprocess.Popen([sys.executable, *command(1)], stdout=subprocess.PIPE) as first:
        assert wait_for(lambda: written(workspace / "pid"), 20)
        (workspace / "slow.py").write_text(STAGE + 'print(Path("ended").read_text())')
        second = run(0)
        assert second.stdout.endswith("1\n"), f"the second ran beside the first: {second.stderr}"
        first.communicate()
