"""Run stage `fit` in a separate process."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def start(
    workspace: Path, home: str, launcher: Sequence[str] = (), **options: str
) -> subprocess.Popen[str]:
    """`python -m training.fit` in `workspace` on one thread; options of `RunOptions` by name.

    launcher: arguments of Python before the stage's own.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "RONDO_HOME": str(workspace / home),
        "RONDO_TRAIN_ACCELERATOR": "cpu",
        "RONDO_TRAIN_THREADS": "1",
        "RONDO_TRAIN_LOGGER": "none",
        **{f"RONDO_TRAIN_{name.upper()}": value for name, value in options.items()},
    }
    return subprocess.Popen(
        [
            sys.executable,
            *launcher,
            "-m",
            "training.fit",
            "data/split",
            "out/model",
            "out/fit.json",
        ],
        cwd=workspace,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> str:
    """The output, after it has ended successfully."""
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    return output


def wait_for_checkpoint(process: subprocess.Popen[str], folder: Path, since: int = 0) -> None:
    """Wait until an epoch is saved below `folder` after `since` (ns)."""
    deadline = time.monotonic() + 200
    while not any(path.stat().st_mtime_ns > since for path in folder.glob("*/resume.ckpt")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
