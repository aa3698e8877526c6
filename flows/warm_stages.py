"""The warm process of a retrain (`base.warm`), started when its first stage begins.

A retrain whose stages are all up to date, such as one that resumes at the gate, does not pay for
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

from base.warm import GRACE_SECONDS, PARENT_VARIABLE
from flows.stages import FIRST_STAGE, LAST_STAGE
from flows.workspace import Workspace
from training.fingerprint import stage_module, stages_before


@contextlib.contextmanager
def warmed(workspace: Workspace, logs: Path) -> Iterator[str]:
    """A socket at which a warm process answers, for the stages of the workspace as it stands.

    Gives the socket's path, for the block. The process starts with the first that connects, which
    the first stage does for the others: they are imported while it runs. Where there can be no
    socket the path is empty: each stage is then a process of its own, and the log says why.
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
        # The kernel ends the process with the thread that started it: that thread waits, too.
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
    """Start the process once somebody connects; end it when the other side of `ended` closes."""
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
    # Its listener is the only one now: whoever asks after its end is refused, and does not wait.
    ended.recv(1)
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
