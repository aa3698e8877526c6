"""Ctrl-C and SIGTERM end a flow and its stages within seconds, whatever a stage is doing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from flows.workspace import Workspace

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

#: One call into C that keeps the interpreter: no Python signal handler gets to run in this process.
HOLD = """
import ctypes, sys
from pathlib import Path
Path(sys.argv[1]).write_text("holding")
ctypes.PyDLL(None).sleep(300)
"""


@pytest.fixture
def holding(workspace: Workspace) -> Workspace:
    """A workspace whose stage `split` holds the interpreter for five minutes."""
    (workspace.root / "hold.py").write_text(HOLD)
    pipeline = workspace.root / "dvc.yaml"
    command = f"exec {sys.executable} -m base.stage hold {workspace.root / 'holding'}"
    pipeline.write_text(pipeline.read_text().replace("exec cp -r ${input} data/split", command))
    (workspace.root / "data/log").mkdir(parents=True)
    return workspace


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_a_flow_ends_all_that_it_started(
    holding: Workspace, checkout: Path, number: signal.Signals
) -> None:
    log = holding.root.parent / "output"
    with log.open("wb") as output:
        flow = subprocess.Popen(
            [sys.executable, "-m", "tests.flows.held", str(holding.root), str(holding.checkout)],
            cwd=checkout,
            env=os.environ | {"PYTHONPATH": f"{checkout}:{holding.root}"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    deadline = time.monotonic() + 120
    while not (holding.root / "holding").exists():
        assert flow.poll() is None, log.read_text()
        assert time.monotonic() < deadline, "the stage did not begin"
        time.sleep(0.1)
    children = psutil.Process(flow.pid).children(recursive=True)
    stages = [child for child in children if "base.stage" in child.cmdline()]
    assert stages
    assert len(children) > len(stages), "and the server"
    flow.send_signal(number)
    _, alive = psutil.wait_procs(stages, timeout=10)
    assert not alive
    assert flow.wait(timeout=40) != 0
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive, log.read_text()
