"""`python -m base.supervise PARENT_PID COMMAND…`: run a command that ends when its parent does.

A server that spawns workers of its own outlives a killed flow otherwise. The command gets a
process group of its own; SIGTERM to this process, or the death of the parent, ends the group.
Imports nothing heavy: it stays as long as what it watches.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time

GRACE_SECONDS = 10.0


def main(arguments: list[str]) -> int:
    """Returns the command's exit status."""
    parent, command = int(arguments[0]), arguments[1:]
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    child = subprocess.Popen(command, start_new_session=True)
    while child.poll() is None and not stopping.is_set() and os.getppid() == parent:
        stopping.wait(0.2)
    _end_group(child)
    return child.returncode or 0


def _end_group(child: "subprocess.Popen[bytes]") -> None:
    """SIGTERM to the whole group, then SIGKILL to what is left of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGTERM)
    deadline = time.monotonic() + GRACE_SECONDS
    while time.monotonic() < deadline and _alive(child):
        time.sleep(0.05)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _alive(child: "subprocess.Popen[bytes]") -> bool:
    child.poll()
    try:
        os.killpg(child.pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
