"""Start and stop the servers that a flow needs: Prefect server, worker, recommendation service."""

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
    """A server did not start. The message names its log file."""


class Supervised:
    """A command whose process group ends on `stop`, and at the latest when this process ends."""

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
        """Wait until `url` answers with status 2xx.

        Raises ProcessFailed if the process ends or `timeout` (seconds) passes first.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ProcessFailed(f"{self.name} ended at once, see {self.log}:\n{self.tail()}")
            if answers(url):
                return
            time.sleep(0.1)
        raise ProcessFailed(f"{self.name} did not answer in {timeout:.0f} s, see {self.log}")

    def tail(self, lines: int = 10) -> str:
        """The last lines that the process printed."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self) -> None:
        """End the whole process group and wait until it is gone."""
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_SECONDS)


def answers(url: str) -> bool:
    """Whether a GET of `url` gives status 2xx within a second."""
    try:
        with urllib.request.urlopen(url, timeout=1.0) as response:
            return bool(200 <= response.status < 300)
    except (urllib.error.URLError, OSError):
        return False


def free_port() -> int:
    """A TCP port of this machine that no process uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def prefect_server(root: Path, port: int) -> Iterator[Supervised]:
    """Run a Prefect server on `port` until the block ends.

    Sets PREFECT_API_URL. Prefect reads it when it is first imported, so enter this block before
    importing prefect. Use `wait_for_prefect` to wait until the server answers.
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
    """Send the logs and events that Prefect's background workers still hold, while the server runs.

    The workers send every two seconds. If the server is gone they retry for 2 + 4 + … + 32 s
    (`prefect.client.base`), and the interpreter waits for them when it exits.
    """
    if "prefect" not in sys.modules:
        return
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all(timeout=DRAIN_SECONDS)
    EventsWorker.drain_all(timeout=DRAIN_SECONDS)


@contextmanager
def some_prefect_server(root: Path) -> Iterator[None]:
    """Use the server at PREFECT_API_URL if it answers. Otherwise run one until the block ends."""
    if answers(f"{os.environ.get('PREFECT_API_URL', api_url(4200))}/health"):
        yield
        return
    port = free_port()
    with prefect_server(root, port) as server:
        wait_for_prefect(server, port)
        yield


def wait_for_prefect(server: Supervised, port: int) -> None:
    """Wait until the server answers. Raises ProcessFailed after two minutes."""
    server.wait_until_answers(f"{api_url(port)}/health", timeout=120.0)


def api_url(port: int) -> str:
    return f"http://127.0.0.1:{port}/api"


@contextmanager
def service(root: Path, port: int, environment: Mapping[str, str]) -> Iterator[Supervised]:
    """Run the recommendation service on `port` until the block ends.

    Does not wait until it answers.
    """
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
