"""The DVC pipeline as Prefect tasks: read from `dvc.yaml`, each stage run in this process by DVC.

A stage is a subprocess of ours (`base/stage.py`: it dies with us). What it prints goes to its
task's log and to a file under `RONDO_HOME/logs`, so that our own output stays one line per step.
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

from base import warm
from base.stage import LOGS_VARIABLE, log_file
from flows.workspace import Workspace
from training.fingerprint import stages_before

FIRST_STAGE: Final = "split"
LONGEST_STAGE: Final = "fit"
LAST_STAGE: Final = "package"

#: The launcher of every stage in `dvc.yaml`: what its processes are known by.
STAGE: Final = "base.stage"

#: What a stage that is asked to end may take until it is killed.
GRACE_SECONDS: Final = 5.0


class StageFailed(RuntimeError):
    """A stage ended with an error, twice; the message is the last line that it printed."""


def run_stages(
    workspace: Workspace,
    logs: Path,
    warm_path: str = "",
    last: str = LAST_STAGE,
    after: Mapping[str, Callable[[], None]] = MappingProxyType({}),
) -> dict[str, float]:
    """Bring `last` and all that it needs up to date, each as soon as what it reads is there.

    What they print goes to files in `logs`. warm_path: socket of a warm process that runs them;
    empty: a process of its own for each. after: by stage, what to call once it is done and those
    before it in the order of the pipeline. Returns the seconds of each stage, several of which may
    have passed at once. Raises StageFailed after a second failure of any.
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
            # Ctrl-C or SIGTERM. Prefect waits for its tasks, they for their stages: minutes.
            end_stages()
            raise
    # In their order: what failed is met before what waited for it.
    return {name: future.result() for name, future in futures.items()}


def reads(root: Path, last: str) -> dict[str, list[str]]:
    """Of `last` and all stages that it needs: the stages whose outputs each reads."""
    needed = stages_before(root, last)
    makers = {out: name for name, stage in needed.items() for out in stage.get("outs", [])}
    return {
        name: sorted({makers[dep] for dep in stage.get("deps", []) if dep in makers})
        for name, stage in needed.items()
    }


def end_stages() -> None:
    """End the stages that this process runs, and begin no other."""
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
    """`reproduce` as a task, what the stage printed in its log; seconds."""
    began = time.monotonic()
    if _ENDING.is_set():
        raise StageFailed(f"stage {name} was not begun: the flow ends")
    try:
        reproduce(workspace, name, logs, warm_path)
    finally:
        if printed := _printed(log_file(logs, name)):
            get_run_logger().info(printed)
    return time.monotonic() - began


def reproduce(workspace: Workspace, name: str, logs: Path, warm_path: str = "") -> bool:
    """Bring stage `name` up to date; False when nothing had changed.

    What it prints goes to a file in `logs`. Raises StageFailed with its last line.
    """
    log = log_file(logs, name)
    log.unlink(missing_ok=True)
    environment = {warm.PARENT_VARIABLE: str(os.getpid()), LOGS_VARIABLE: str(logs)}
    if warm_path:
        # The first one imports little, and would wait for the imports of the others.
        environment[warm.WAKE_VARIABLE if name == FIRST_STAGE else warm.VARIABLE] = warm_path
    try:
        with workspace.repo() as repo:
            return bool(repo.reproduce(name, single_item=True, run_env=environment))
    except Exception as error:
        raise StageFailed(f"stage {name} failed: {_why(error, log)} (all of it: {log})") from None


def _why(error: Exception, log: Path) -> str:
    """The last line that the stage printed. One that never began printed nothing: what kept it
    from that is then the only thing in `log`."""
    if not _printed(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("".join(traceback.format_exception(error)))
        return f"{_root_cause(error)}"
    return _printed(log).splitlines()[-1]


def _root_cause(error: BaseException) -> BaseException:
    """What a traceback shows first: `raise … from None` hides what came before."""
    before = None if error.__suppress_context__ else error.__context__
    cause = error.__cause__ or before
    return error if cause is None else _root_cause(cause)


def _printed(log: Path) -> str:
    return log.read_text(errors="replace").strip() if log.exists() else ""


@contextlib.contextmanager
def output_to(path: Path) -> Iterator[None]:
    """Standard output and error of this process and its children go to `path` in the block.

    Whoever wants to write to the terminal meanwhile has kept a duplicate (`flows.loop.console`).
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
