"""The whole cycle: from events to a served and gated recommender, users, feedback, retrain, again.

    python -m flows.loop                         # the embedded world, 5 days
    python -m flows.loop --seed 7 --control      # no drift and no new items
    python -m flows.loop --days 2                # quick
    python -m flows.loop --data path/to/ml-100k  # MovieLens, replayed in waves

Starts from a clean state in RONDO_HOME and leaves the last champion there for `make serve`. One
process runs all flows. The Prefect server and the service are its children and end with it.
"""

import argparse
import contextlib
import os
import shutil
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from filelock import FileLock, Timeout

from base import processes
from base.settings import Settings
from flows import environment
from flows.loop.waves import WAVES

LOCK = "loop.lock"
#: Removed before a run. The installation and `.rondo/env` stay.
STATE = (
    "bentoml", "cache", "checkpoints", "dvc-site", "feast", "logs", "prefect", "releases",
    "remote", "rondo.db", "rondo.db-shm", "rondo.db-wal", "tensorboard", "verdicts", "workspace",
)  # fmt: skip


def main() -> None:
    """Parse the command line and run the job."""
    parser = argparse.ArgumentParser(prog="python -m flows.loop", description="The whole job.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control", action="store_true", help="no drift and no new items")
    parser.add_argument("--data", type=Path, help="folder of a real dataset")
    parser.add_argument("--days", type=int, default=5, help="simulated days")
    parser.add_argument("--waves", type=int, default=WAVES, help="parts of a real dataset's replay")
    parser.add_argument(
        "--people",
        type=int,
        default=1000,
        help="simulated users for whom the systems are compared each day",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="change a value of params.yaml, such as world.humans=300")  # fmt: skip
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    arguments = parser.parse_args()
    if min(arguments.days, arguments.waves) < 1:
        parser.error("--days and --waves must be at least 1")
    settings = Settings()
    if names := settings.shared:
        sys.exit(f"make loop starts from a clean state of its own: unset {', '.join(names)}")
    environment.prepare(settings)
    lock = FileLock(settings.root / LOCK)
    if problem := kept(settings.root):
        sys.exit(problem)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        sys.exit(f"make loop is running already on {settings.root}")
    clean(settings.root)
    port = processes.free_port()
    # Set these before Prefect is imported, which reads them.
    os.environ["PREFECT_API_URL"] = processes.api_url(port)
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "WARNING"
    with contextlib.ExitStack() as servers:
        # The server starts while this process imports its own modules. Both take seconds.
        prefect = servers.enter_context(processes.prefect_server(settings.root, port))
        from flows.loop.job import run
        from flows.loop.run import Plan

        plan = Plan(
            settings=Settings(),
            prefect_port=port,
            seed=arguments.seed,
            control=arguments.control,
            data=arguments.data,
            days=arguments.days,
            waves=arguments.waves,
            people=arguments.people,
            overrides=dict(parse(text) for text in arguments.set),
            reports=arguments.reports.absolute(),
            began=began(),
        )
        try:
            run(plan, servers, prefect)
        except environment.expected_errors() as error:
            sys.exit(f"make loop: {environment.told(error)}")
        except KeyboardInterrupt:
            sys.exit("make loop: stopped")


def began() -> float:
    """When this process started, on the monotonic clock."""
    age: float = time.time() - psutil.Process().create_time()
    return time.monotonic() - age


def kept(root: Path) -> str | None:
    """The reason why nothing may be removed from `root`, or None.

    There may be data that was not made by an earlier run.
    """
    log = root / "workspace" / "data" / "log"
    if (root / LOCK).exists() or not any(log.rglob("part-*.parquet")):
        return None
    return (
        f"make loop starts from a clean state, and {root} holds data that it did not make: set "
        "RONDO_HOME to another folder, or remove them with `make clean`"
    )


def clean(root: Path) -> None:
    """Remove the state of earlier runs, and nothing else."""
    for name in STATE:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def parse(text: str) -> tuple[str, object]:
    """Split `key=value` and read the value as YAML."""
    import yaml

    key, separator, value = text.partition("=")
    if not separator:
        sys.exit(f"--set {text}: write KEY=VALUE")
    return key, yaml.safe_load(value)
