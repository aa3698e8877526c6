"""A real `bentoml serve` process for tests."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil  # type: ignore[import-untyped]


@contextmanager
def serving(
    command: list[str], cwd: Path, home: Path, settings: Mapping[str, str], seconds: float = 120
) -> Iterator[httpx.Client]:
    """A client of `command` once it is ready. The process group ends with the block.

    The port is given to the process by its environment.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "RONDO_HOME": str(home),
        "BENTOML_HOME": str(home / "bentoml"),
        "OMP_NUM_THREADS": "1",
        "BENTOML_PORT": str(port),
        **settings,
    }
    with (home / "service.log").open("w") as output:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            _wait(client, process, home / "service.log", seconds)
            yield client
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def addresses(port: int) -> set[str]:
    """The addresses of this machine on which a process listens at `port`."""
    found = psutil.net_connections("tcp")
    return {c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN and c.laddr.port == port}


def kill_supervisor(client: httpx.Client) -> None:
    """SIGKILL to the process that started the worker which answers `client`."""
    found = psutil.net_connections("tcp")
    port = client.base_url.port
    holder = next(
        psutil.Process(c.pid)
        for c in found
        if c.status == psutil.CONN_LISTEN and c.laddr.port == port and c.pid is not None
    )
    # Both hold the socket; the system names one of them.
    is_worker = any("worker" in argument for argument in holder.cmdline())
    (holder.parent() if is_worker else holder).kill()


def wait_until_free(port: int, seconds: float = 15) -> None:
    """Wait until no process listens on `port`."""
    deadline = time.monotonic() + seconds
    while addresses(port):
        assert time.monotonic() < deadline, f"port {port} is still held"
        time.sleep(0.1)


def from_checkout() -> list[str]:
    return [sys.executable, "-m", "bentoml", "serve", "serving.service:Rondo"]


def _wait(
    client: httpx.Client, process: "subprocess.Popen[bytes]", log: Path, seconds: float
) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if client.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None:
            break
        time.sleep(0.2)
    raise AssertionError(f"the service did not become ready:\n{log.read_text()[-4000:]}")
