"""Servers that a flow starts and ends: the Prefect server, a worker, the recommendation service."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

STOP_SECONDS = 15.0
DRAIN_SECONDS = 10.0


class ProcessFailed(RuntimeError):
    """A server did not come up; the message names its log."""


class Supervised:
    """A command whose whole process group ends with this process, or on `stop`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self.name, self.log = name, log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "base.supervise", str(os.getpid()), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=cwd,
                start_new_session=True,
            )

    def wait_until_answers(self, url: str, timeout: float) -> None:
        """Until `url` answers 2xx. Raises ProcessFailed when the process ends or time does."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ProcessFailed(f"{self.name} ended at once, see {self.log}:\n{self.tail()}")
            if answers(url):
                return
            time.sleep(0.1)
        raise ProcessFailed(f"{self.name} did not answer in {timeout:.0f} s, see {self.log}")

    def tail(self, lines: int = 10) -> str:
        """The last lines it printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """End the whole group and wait for it."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)


def answers(url: str) -> bool:
    """Does a GET of `url` give 2xx within a second?"""
    try:
        with urllib.request.urlopen(url, timeout=1.0) as response:
            return bool(200 <= response.status < 300)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """A TCP port of this machine that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def prefect_server(root: Path, port: int) -> Iterator[Supervised]:
    """A Prefect server on `port`, ended when the block ends.

    Sets PREFECT_API_URL for this process, which prefect reads when it is imported: enter before.
    Does not wait until the server answers; see `wait_for_prefect`.
    """
    os.environ["PREFECT_API_URL"] = api_url(port)
    server = Supervised(
        "Prefect server",
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port), "--no-ui"],
        root / "logs" / "prefect-server.log",
    )
    try:
        yield server
    finally:
        _drain_prefect()
        server.stop()


def _drain_prefect() -> None:
    """Send what Prefect's background workers still hold, while their server is there.

    They send logs every two seconds. What is left when the server has gone they try again for
    2 + 4 + … + 32 s (`prefect.client.base`), and the interpreter waits for that at its exit.
    """
    if "prefect" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=DRAIN_SECONDS)
    EventsWorker.drain_all(timeout=DRAIN_SECONDS)


@contextmanager
def some_prefect_server(root: Path) -> Iterator[None]:
    """The server at PREFECT_API_URL if it answers, else one of our own for the block."""
    if answers(f"{os.environ.get('PREFECT_API_URL', api_url(4200))}/health"):
        yield
        return
    port = free_port()
    with prefect_server(root, port) as server:
        wait_for_prefect(server, port)
        yield


def wait_for_prefect(server: Supervised, port: int) -> None:
    """Raises ProcessFailed when it does not come up within two minutes."""
    server.wait_until_answers(f"{api_url(port)}/health", timeout=120.0)


def api_url(port: int) -> str:
    return f"http://127.0.0.1:{port}/api"


@contextmanager
def service(root: Path, port: int, environment: Mapping[str, str]) -> Iterator[Supervised]:
    """The recommendation service on `port`, ended when the block ends; not awaited."""
    running = Supervised(
        "service",
        [
            sys.executable, "-m", "bentoml", "serve", "serving.service:Rondo",
            "--host", "127.0.0.1", "--port", str(port),
        ],
        root / "logs" / "service.log",
        environment,
    )  # fmt: skip
    try:
        yield running
    finally:
        running.stop()
