"""A warm process: it imports the modules of a retrain's stages once, and forks for each stage.

    python -m base.warm DESCRIPTOR MODULE…

With a small log, a stage spends most of its time on imports. So `base.stage` asks the process at
`RONDO_STAGE_WARM` to run its module. It runs the module itself if there is no such process, if that
process has not imported the module, or if one of our files has changed since the import. DVC's
command and the stage's work are the same in both cases.

The process inherits its listening socket as a file descriptor, and ends with the retrain that
started it (`flows.warm_stages`). It answers requests between two imports, so that the first stage
need not wait for the imports of the last one.
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

from base import code, stage

#: A stage that is asked to end is killed after this time.
GRACE_SECONDS: Final = 5.0
REQUEST_SECONDS: Final = 10.0

#: File name to its modification time and size.
Stamps = dict[str, tuple[int, int]]


@dataclass
class Request:
    """A request to run a stage. outputs: file descriptors for the stage's output."""

    connection: socket.socket
    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    outputs: list[int]

    @staticmethod
    def read(connection: socket.socket) -> "Request":
        """Read a request. Raises OSError or ValueError if it is not a valid one."""
        connection.settimeout(REQUEST_SECONDS)
        _, outputs, _, _ = socket.recv_fds(connection, 1, 2)
        with connection.makefile("rb") as lines:
            asked: dict[str, Any] = json.loads(lines.readline())
        return Request(connection, outputs=outputs, **asked)

    def answer(self, line: str) -> None:
        """Send `line`, unless the other side has closed the connection."""
        with contextlib.suppress(OSError):
            self.connection.sendall(f"{line}\n".encode())

    def close(self) -> None:
        for output in self.outputs:
            os.close(output)
        self.connection.close()


class Server:
    """Imports modules, forks for each request, and reports how each fork ended."""

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
        # The end of a child wakes the selector.
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
        """Serve until this process or its parent (process id `parent`) ends."""
        while os.getppid() == parent:
            for key, _ in self.selector.select(self._patience()):
                key.data()
            self._reap()
            self._kill_late()
            if self.waiting:
                self._import(self.waiting.pop(0))
            self._begin()

    def _patience(self) -> float:
        """How long to wait for the next request, in seconds."""
        if self.waiting:
            return 0.0
        return 0.1 if self.doomed else 1.0

    def _import(self, module: str) -> None:
        # Errors are ignored here: the stage then runs by itself and reports the same error.
        with contextlib.suppress(Exception, SystemExit):
            importlib.import_module(module)
            if not self.waiting:  # stages need the digest of their code
                code.digest(code.files(self.modules))
        gc.collect()
        gc.freeze()  # else the garbage collector of a fork would copy memory
        for stream in (sys.stdout, sys.stderr):
            stream.flush()  # else each fork would print the buffer again
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
                    # Python warns about threads at a fork. The threads here belong to libraries
                    # that handle forks.
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
        """Whether one of our files differs from what was imported.

        A file written after this process started may have been imported before that, so it counts
        as changed.
        """
        now = stamps()
        return now != self.known or any(changed >= self.began for changed, _ in now.values())

    def _doom(self, child: int) -> None:
        """End a stage whose caller has gone."""
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
            if child not in self.running:  # a child of a library
                continue
            request = self.running.pop(child)
            if self.doomed.pop(child, None) is None:
                self.selector.unregister(request.connection)
            request.answer(str(os.waitstatus_to_exitcode(status)))
            request.close()

    def _become(self, request: Request) -> NoReturn:
        """Run the stage in the child, as if this process had been started for it."""
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
            os.environ[stage.PARENT_VARIABLE] = str(parent)
            os.chdir(request.folder)
            sys.argv = [request.module, *request.arguments]
            sys.modules.pop(request.module)  # it runs again, as the main module
            ended = status(self.run, request.module)
        except BaseException:
            traceback.print_exc()
        finally:
            leave(ended)


def status(run: Callable[[str], None], module: str) -> int:
    """Run a stage, and return the exit status that the interpreter would.

    Prints errors as it would.
    """
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
    """End this process like the interpreter, but without destructors of C++ libraries.

    Those of pyarrow wait for threads that do not exist in a fork.
    """
    import atexit

    with contextlib.suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def stamps() -> Stamps:
    """The present stamps of all imported files below the working directory, without installed
    packages."""
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
    descriptor, *modules = sys.argv[1:]
    parent = stage.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the flow, which ends this process
    Server(socket.socket(fileno=int(descriptor)), modules, stage.run).serve(parent)


if __name__ == "__main__":
    main()
