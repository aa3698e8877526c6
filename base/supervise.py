"""Run a command that ends when its parent does: `python -m base.supervise PARENT_PID COMMAND…`.

Without this, the worker processes of a server would outlive a killed flow. The command gets its own
process group, which is ended when this process receives SIGTERM or the parent dies. Import nothing
heavy here, since this process stays in memory as long as the command.
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
    """Run the command and return its exit status."""
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
    """Send SIGTERM to the whole group, then SIGKILL to the processes that are left."""
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
