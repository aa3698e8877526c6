"""Ask the warm process of a retrain (`base.warm`) to run a stage, or to get ready for one.

This is a module of its own, because the launcher of every stage imports it and needs nothing else
of `base.warm`.
"""

import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Final

#: The socket of the warm process, for a stage that the warm process may run.
VARIABLE: Final = "RONDO_STAGE_WARM"
#: The same for a stage that runs by itself before those, and only starts the warm process.
WAKE_VARIABLE: Final = "RONDO_STAGE_WAKE"


def wake(path: str) -> None:
    """Make the process at socket `path` start its imports, because a request will follow soon."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with connection, contextlib.suppress(OSError):
        connection.connect(path)


def ask(path: str, module: str, arguments: list[str]) -> int | None:
    """Ask the process at socket `path` to run `module`, and return the exit status.

    Returns None if the process does not run it; the caller must then run it itself. The stage
    prints to this process's output, and ends when this process ends.
    """
    request = {
        "module": module,
        "arguments": arguments,
        "folder": str(Path.cwd()),
        "environment": dict(os.environ),
    }
    answer = b""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        begun = False
        with contextlib.suppress(OSError):
            connection.connect(path)
            socket.send_fds(connection, [b"\n"], [1, 2])
            connection.sendall(json.dumps(request).encode() + b"\n")
            answers = connection.makefile("rb")
            begun = answers.readline() == b"begun\n"
            answer = answers.readline()
    if not begun:
        return None
    if not answer:
        print(f"{module}: the warm process that ran it has ended", file=sys.stderr)
        return 1
    ended = int(answer)
    if ended < 0:
        print(f"{module}: ended by {signal.Signals(-ended).name}", file=sys.stderr)
    return ended
