"""Run the DVC pipeline as Prefect tasks: read `dvc.yaml`, and run each stage by DVC in this
process.

A stage is a subprocess (`base/stage.py`) that ends with this process. Its output goes to its task's
log and to a file below `RONDO_HOME/logs`, so that our own output stays one line per step.
"""

import contextlib
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from graphlib import TopologicalSorter
from pathlib import Path
from types import MappingProxyType
from typing import Final

import psutil  # type: ignore[import-untyped]
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.futures import PrefectFuture
from prefect.logging import get_run_logger

from base import warm_client
from base.stage import LOGS_VARIABLE, PARENT_VARIABLE, log_file
from flows.workspace import Workspace
from training.fingerprint import stages_before

FIRST_STAGE: Final = "split"
LONGEST_STAGE: Final = "fit"
LAST_STAGE: Final = "package"

#: The launcher of every stage in `dvc.yaml`. It identifies the processes of stages.
STAGE: Final = "base.stage"

#: A stage that is asked to end is killed after this time.
GRACE_SECONDS: Final = 5.0


class StageFailed(RuntimeError):
    """A stage failed twice. The message is the last line that it printed."""


def run_stages(
    workspace: Workspace,
    logs: Path,
    warm_path: str = "",
    last: str = LAST_STAGE,
    after: Mapping[str, Callable[[], None]] = MappingProxyType({}),
) -> dict[str, float]:
    """Bring `last` and all stages that it needs up to date, each as soon as its inputs are ready.

    logs: folder for files with their output; warm_path: socket of a warm process that runs them,
    empty to use a new process for each; after: by stage, a function to call once the stage and all
    stages before it in the pipeline's order are done. Returns the seconds of each stage; several
    may have run at once. Raises StageFailed when a stage fails for the second time.
    """
    _ENDING.clear()
    needed = reads(workspace.root, last)
    futures: dict[str, PrefectFuture[float]] = {}
    with workspace.inside(), output_to(logs / "dvc.log"):
        try:
            for name in TopologicalSorter(needed).static_order():
                before = [futures[each] for each in needed[name]]
                futures[name] = run_stage.submit(
                    workspace, name, logs, warm_path, return_state=False, wait_for=before
                )
            for name, future in futures.items():
                future.wait()
                if name in after:
                    after[name]()
        except BaseException:
            # Ctrl-C or SIGTERM: end the stages, because Prefect would wait minutes for its tasks.
            end_stages()
            raise
    # In the pipeline's order, so that a failure is found before the stages that waited for it.
    return {name: future.result() for name, future in futures.items()}


def reads(root: Path, last: str) -> dict[str, list[str]]:
    """For `last` and every stage that it needs: the stages whose outputs it reads."""
    needed = stages_before(root, last)
    makers = {out: name for name, stage in needed.items() for out in stage.get("outs", [])}
    return {
        name: sorted({makers[dep] for dep in stage.get("deps", []) if dep in makers})
        for name, stage in needed.items()
    }


def end_stages() -> None:
    """End the stages that this process runs, and start no others."""
    _ENDING.set()
    stages = [child for child in psutil.Process().children(recursive=True) if _is_stage(child)]
    for stage in stages:
        with contextlib.suppress(psutil.NoSuchProcess):
            stage.terminate()
    _, left = psutil.wait_procs(stages, timeout=GRACE_SECONDS)
    for stage in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            stage.kill()


def _is_stage(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return STAGE in process.cmdline()
    return False


def _not_ending(*_: object) -> bool:
    return not _ENDING.is_set()


@task(
    task_run_name="{name}",
    retries=1,
    retry_delay_seconds=1,
    retry_condition_fn=_not_ending,
    cache_policy=NO_CACHE,
)
def run_stage(workspace: Workspace, name: str, logs: Path, warm_path: str = "") -> float:
    """Run `reproduce` as a task, with the stage's output in the task's log. Returns seconds."""
    began = time.monotonic()
    if _ENDING.is_set():
        raise StageFailed(f"stage {name} was not started: the flow is ending")
    try:
        reproduce(workspace, name, logs, warm_path)
    finally:
        if printed := _printed(log_file(logs, name)):
            get_run_logger().info(printed)
    return time.monotonic() - began


def reproduce(workspace: Workspace, name: str, logs: Path, warm_path: str = "") -> bool:
    """Bring stage `name` up to date. Returns False if nothing had changed.

    logs: folder for a file with its output. Raises StageFailed with the last line of the output.
    """
    log = log_file(logs, name)
    log.unlink(missing_ok=True)
    environment = {PARENT_VARIABLE: str(os.getpid()), LOGS_VARIABLE: str(logs)}
    if warm_path:
        # The first stage runs by itself: it imports little, and need not wait for the imports of
        # the others.
        environment[warm_client.WAKE_VARIABLE if name == FIRST_STAGE else warm_client.VARIABLE] = (
            warm_path
        )
    try:
        with workspace.repo() as repo:
            return bool(repo.reproduce(name, single_item=True, run_env=environment))
    except Exception as error:
        raise StageFailed(f"stage {name} failed: {_why(error, log)} (all of it: {log})") from None


def _why(error: Exception, log: Path) -> str:
    """The last line that the stage printed.

    If the stage could not start, `log` holds only the reason for that.
    """
    if not _printed(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(traceback.format_exception(error)))
        return f"{_root_cause(error)}"
    return _printed(log).splitlines()[-1]


def _root_cause(error: BaseException) -> BaseException:
    """The error that a traceback shows first. `raise … from None` hides earlier ones."""
    before = None if error.__suppress_context__ else error.__context__
    cause = error.__cause__ or before
    return error if cause is None else _root_cause(cause)


def _printed(log: Path) -> str:
    return log.read_text(errors="replace").strip() if log.exists() else ""


@contextlib.contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Send standard output and error of this process and its children to `path` during the block.

    To write to the terminal meanwhile, use a duplicate made before (`flows.loop.console`).
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
_ENDING = threading.Event()
