"""Start the warm process of a retrain (`base.warm`) when its first stage starts.

So a retrain whose stages are all up to date, such as one that resumes at the gate, does not pay for
their imports.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing.connection import wait
from pathlib import Path

from base.stage import PARENT_VARIABLE
from base.warm import GRACE_SECONDS
from flows.stages import FIRST_STAGE, LAST_STAGE
from flows.workspace import Workspace
from training.fingerprint import stage_module, stages_before


@contextlib.contextmanager
def warmed(workspace: Workspace, logs: Path) -> Iterator[str]:
    """Yield the path of a socket where a warm process answers, for the stages of the workspace.

    The process starts when something first connects. The first stage connects for the others, so
    that their imports happen while it runs. If no socket can be made, the path is empty: each stage
    then gets its own process, and the log says why.
    """
    needed = stages_before(workspace.root, LAST_STAGE)
    modules = [stage_module(stage) for name, stage in needed.items() if name != FIRST_STAGE]
    log = logs / "warm.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    end, ended = socket.socketpair()
    with tempfile.TemporaryDirectory(prefix="rondo-") as folder, end, ended:
        path = str(Path(folder) / "warm")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(path)
        except OSError as error:  # such as a TMPDIR that makes the path longer than a socket's is
            listener.close()
            log.write_text(f"no warm process at {path}: {error}\n")
            yield ""
            return
        listener.listen()
        # The kernel ends the process together with the thread that started it, so that thread waits
        # here.
        thread = threading.Thread(
            target=_serve, args=(listener, ended, modules, workspace.root, log), name="warm"
        )
        thread.start()
        try:
            yield path
        finally:
            end.close()
            thread.join()


def _serve(
    listener: socket.socket, ended: socket.socket, modules: list[str], folder: Path, log: Path
) -> None:
    """Start the process at the first connection, and end it when the other side of `ended`
    closes."""
    with listener:
        if ended in wait([listener, ended]):
            return
        descriptor = listener.fileno()
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "base.warm", str(descriptor), *modules],
                cwd=folder,
                env=os.environ | {PARENT_VARIABLE: str(os.getpid())},
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
    # Only the process listens now, so requests after its end are refused instead of waiting.
    ended.recv(1)
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
