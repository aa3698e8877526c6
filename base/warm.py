"""A warm process: it has imported what the stages of a retrain need, and forks itself for each.

    python -m base.warm DESCRIPTOR MODULE…

Imports are most of what a stage of a small log costs. `base.stage` asks the process at
`RONDO_STAGE_WARM` to run its module, and runs it itself where there is none, where that process
has not imported the module, or where one of our files is no longer what it imported. DVC's command
is the same either way, and so is what the stage does.

The process inherits the socket that it listens at as a file descriptor, and lives as long as the
one that started it (`flows.warm_stages`), a retrain. Requests are answered between two imports, so
that the first stage does not wait for the last one's.
"""

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from base import code

#: The socket to ask at, for a stage that the warm process may run.
VARIABLE: Final = "RONDO_STAGE_WARM"
#: The same for a stage that runs by itself, ahead of those.
WAKE_VARIABLE: Final = "RONDO_STAGE_WAKE"
#: Process id of whoever runs a stage, for one that starts after the death of that process.
PARENT_VARIABLE: Final = "RONDO_STAGE_PARENT"
#: What a stage that is asked to end may take until it is killed.
GRACE_SECONDS: Final = 5.0
REQUEST_SECONDS: Final = 10.0

#: File to its time of change and size.
Stamps = dict[str, tuple[int, int]]


def wake(path: str) -> None:
    """Have the process at socket `path` begin to import: somebody will ask it soon."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with connection, contextlib.suppress(OSError):
        connection.connect(path)


def ask(path: str, module: str, arguments: list[str]) -> int | None:
    """Have the process at socket `path` run `module`; returns its exit status.

    None: it will not, and the caller has to. What the stage prints goes where this process prints.
    The stage ends when this process does.
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


@dataclass
class Request:
    """A stage that somebody waits for. outputs: file descriptors for what it prints."""

    connection: socket.socket
    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    outputs: list[int]

    @staticmethod
    def read(connection: socket.socket) -> "Request":
        """Raises OSError or ValueError where nobody asks properly."""
        connection.settimeout(REQUEST_SECONDS)
        _, outputs, _, _ = socket.recv_fds(connection, 1, 2)
        with connection.makefile("rb") as lines:
            asked: dict[str, Any] = json.loads(lines.readline())
        return Request(connection, outputs=outputs, **asked)

    def answer(self, line: str) -> None:
        """Say `line`, as far as somebody still listens."""
        with contextlib.suppress(OSError):
            self.connection.sendall(f"{line}\n".encode())

    def close(self) -> None:
        for output in self.outputs:
            os.close(output)
        self.connection.close()


class Server:
    """Imports, forks, and tells how each fork ended."""

    def __init__(
        self, listener: socket.socket, modules: list[str], run: Callable[[str], None]
    ) -> None:
        self.modules = modules
        self.waiting = list(modules)
        self.run = run
        self.asked: list[Request] = []
        self.running: dict[int, Request] = {}
        self.doomed: dict[int, float] = {}
        self.listener = listener
        # A child that ends wakes the selector.
        self.bell, ring = socket.socketpair()
        self.bell.setblocking(False)
        ring.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(ring.fileno(), warn_on_full_buffer=False)
        self.ring = ring
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ, self._accept)
        self.selector.register(self.bell, selectors.EVENT_READ, self._hear)
        self.known: Stamps = {}
        self.process, self.began = os.getpid(), time.time_ns()

    def serve(self, parent: int) -> None:
        """Until this process or its parent, `parent`, is ended."""
        while os.getppid() == parent:
            for key, _ in self.selector.select(self._patience()):
                key.data()
            self._reap()
            self._kill_late()
            if self.waiting:
                self._import(self.waiting.pop(0))
            self._begin()

    def _patience(self) -> float:
        """Seconds to wait for the next request."""
        if self.waiting:
            return 0.0
        return 0.1 if self.doomed else 1.0

    def _import(self, module: str) -> None:
        # What is wrong with a stage is said by the stage itself, which then does the same.
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(module)
            if not self.waiting:  # stages ask for the digest of the code that they run
                code.digest(code.files(self.modules))
        gc.collect()
        gc.freeze()  # the collector of a fork would copy what it only looks at
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # else each fork would print it once more
        self.known = stamps() | self.known

    def _accept(self) -> None:
        connection, _ = self.listener.accept()
        try:
            self.asked.append(Request.read(connection))
        except (OSError, ValueError, TypeError):
            connection.close()

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self.bell.recv(4096)

    def _begin(self) -> None:
        for request in [r for r in self.asked if r.module not in self.waiting]:
            self.asked.remove(request)
            if request.module not in sys.modules or self._changed():
                request.close()
                continue
            try:
                with warnings.catch_warnings():
                    # Python warns of threads. Those here are of libraries that know of forks.
                    warnings.simplefilter("ignore", DeprecationWarning)
                    child = os.fork()
            except OSError:  # too many processes, or too little memory
                request.close()
                continue
            if child == 0:
                self._become(request)
            request.answer("begun")
            self.running[child] = request
            self.selector.register(
                request.connection, selectors.EVENT_READ, lambda child=child: self._doom(child)
            )

    def _changed(self) -> bool:
        """Is one of our files no longer what was imported? One that was written after this process
        began may have been imported before that."""
        now = stamps()
        return now != self.known or any(changed >= self.began for changed, _ in now.values())

    def _doom(self, child: int) -> None:
        """Nobody waits for this stage any more."""
        self.selector.unregister(self.running[child].connection)
        self.doomed[child] = time.monotonic() + GRACE_SECONDS
        os.kill(child, signal.SIGTERM)

    def _kill_late(self) -> None:
        for child, deadline in self.doomed.items():
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)

    def _reap(self) -> None:
        while self.running:
            child, status = os.waitpid(-1, os.WNOHANG)
            if child == 0:
                return
            if child not in self.running:  # a library's own
                continue
            request = self.running.pop(child)
            if self.doomed.pop(child, None) is None:
                self.selector.unregister(request.connection)
            request.answer(str(os.waitstatus_to_exitcode(status)))
            request.close()

    def _become(self, request: Request) -> NoReturn:
        """The stage, in the child: as if this process had been started for it."""
        ended, parent = 1, self.process
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for source, target in zip(request.outputs, (1, 2), strict=True):
                os.dup2(source, target)
            for other in (request, *self.running.values(), *self.asked):
                other.close()
            for own in (self.selector, self.listener, self.bell, self.ring):
                own.close()
            os.environ.clear()
            os.environ.update(request.environment)
            os.environ[PARENT_VARIABLE] = str(parent)
            os.chdir(request.folder)
            sys.argv = [request.module, *request.arguments]
            sys.modules.pop(request.module)  # it runs anew, as the main module
            ended = status(self.run, request.module)
        except BaseException:
            traceback.print_exc()
        finally:
            leave(ended)


def status(run: Callable[[str], None], module: str) -> int:
    """Run a stage; the exit status that the interpreter would give it. Says what it would say."""
    try:
        run(module)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def leave(code: int) -> NoReturn:
    """End this process as the interpreter would, but for the destructors of C++ libraries: those
    of pyarrow wait for threads that a fork does not have."""
    import atexit

    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def stamps() -> Stamps:
    """What the files below the working directory were when they were imported, those of packages
    apart."""
    root = f"{Path.cwd()}{os.sep}"
    found = {}
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None) or ""
        if name.startswith(root):
            with contextlib.suppress(OSError):
                status = Path(name).stat()
                found[name] = status.st_mtime_ns, status.st_size
    return found


def main() -> None:
    from base import stage

    descriptor, *modules = sys.argv[1:]
    parent = stage.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the flow, which ends this process
    Server(socket.socket(fileno=int(descriptor)), modules, stage.run).serve(parent)


if __name__ == "__main__":
    main()
