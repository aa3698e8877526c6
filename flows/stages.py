"""The DVC pipeline as Prefect tasks: read from `dvc.yaml`, each stage run in this process by DVC.

A stage is a subprocess of ours (`features/stage.py`: it dies with us). What it prints goes to the
run's log and to a file under `RONDO_HOME/logs`, so that our own output stays one line per step.
"""

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from flows.workspace import Workspace

LAST_STAGE = "package"
#: How DVC's error ends for a stage that SIGINT ended.
INTERRUPTED = ("exited with -2", "exited with 130")


class StageFailed(RuntimeError):
    """A stage ended with an error; the message ends with what it printed last."""


def order(workspace: Workspace, last: str = LAST_STAGE) -> list[str]:
    """The stages that `last` needs, itself last, each after those it depends on."""
    import networkx as nx  # type: ignore[import-untyped]

    with workspace.repo() as repo:
        graph = repo.index.graph
        goal = next(stage for stage in graph if stage.addressing == last)
        needed = list(nx.dfs_postorder_nodes(graph, goal))
        return [stage.addressing for stage in needed if not stage.is_data_source]


@task(task_run_name="{name}", retries=1, retry_delay_seconds=1, cache_policy=NO_CACHE)
def run_stage(workspace: Workspace, name: str, logs: Path) -> float:
    """Bring stage `name` up to date; returns the seconds it took, 0.0 when nothing had changed.

    Raises StageFailed after a second failure.
    """
    from dvc.exceptions import DvcException

    logger = get_run_logger()
    log = logs / f"{name}.log"
    started = time.monotonic()
    try:
        with workspace.repo() as repo, output_to(log):
            done: list[Any] = repo.reproduce(name, single_item=True)
    except DvcException as error:
        if str(error.__cause__).endswith(INTERRUPTED):
            raise KeyboardInterrupt from error  # Ctrl-C reached the stage: do not try again
        printed = log.read_text(errors="replace")
        logger.error(printed)
        last = "\n".join(printed.splitlines()[-15:])
        raise StageFailed(f"stage {name} failed, see {log}: {error}\n{last}") from error
    if printed := log.read_text(errors="replace").strip():
        logger.info(printed)
    return time.monotonic() - started if done else 0.0


@contextlib.contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Standard output and error of this process and its children go to `path` in the block.

    Whoever wants to write to the terminal meanwhile has kept a duplicate (`flows.console`).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _REDIRECT:
        sys.stdout.flush()
        sys.stderr.flush()
        kept = os.dup(1), os.dup(2)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            os.dup2(target, 1)
            os.dup2(target, 2)
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, original in zip((1, 2), kept, strict=True):
                os.dup2(original, number)
                os.close(original)
            os.close(target)


_REDIRECT = threading.Lock()
