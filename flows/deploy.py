"""`make deploy`: run a local Prefect server and a worker with the deployments of prefect.yaml.

    python -m flows.deploy

Uses the server at PREFECT_API_URL if it answers, else starts one at that address. Ctrl-C stops the
worker, then the server.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from urllib.parse import urlsplit

from base import processes
from base.processes import Supervised
from base.settings import Settings
from flows import environment
from flows.environment import CHECKOUT

POOL = "rondo"


def main() -> None:
    """Run until interrupted."""
    settings = Settings()
    environment.prepare(settings)
    url = os.environ.setdefault("PREFECT_API_URL", processes.api_url(4200))
    port = urlsplit(url).port or 4200
    ours = not processes.answers(f"{url}/health")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        with processes.prefect_server(settings.root, port) if ours else nullcontext() as server:
            if server is not None:
                processes.wait_for_prefect(server, port)
            with deployed(settings.root) as worker:
                print(f"Prefect server {url}; worker of pool '{POOL}' runs. Ctrl-C stops both.")
                print("Try: prefect deployment run 'retrain/scheduled'")
                while not stop.wait(1.0):
                    if worker.process.poll() is not None:
                        sys.exit(f"the worker ended, see {worker.log}:\n{worker.tail()}")
    except environment.expected_errors() as error:
        sys.exit(f"make deploy: {environment.told(error)}")


@contextmanager
def deployed(root: Path) -> Iterator[Supervised]:
    """Register the deployments at PREFECT_API_URL, and run a worker for them during the block.

    Raises ProcessFailed if Prefect refuses prefect.yaml.
    """
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    _check([*prefect, "work-pool", "create", POOL, "--type", "process", "--overwrite"])
    _check([*prefect, "deploy", "--all"])
    worker = Supervised(
        "worker",
        [*prefect, "worker", "start", "--pool", POOL],
        root / "logs" / "worker.log",
        cwd=CHECKOUT,
    )
    try:
        yield worker
    finally:
        worker.stop()


def _check(command: list[str]) -> None:
    result = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    if result.returncode != 0:
        raise processes.ProcessFailed(
            f"{' '.join(command[2:])} failed:\n{result.stdout}{result.stderr}"
        )


if __name__ == "__main__":
    main()
