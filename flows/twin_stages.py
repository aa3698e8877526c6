"""Fit a second recipe beside the workspace's own, on the same log, with as few stages as possible.

A stage's output is named by a digest of all that decides it: its code and parameters, and those of
the stages before it. Where it is the same for both recipes, the workspace's output is used; where
the folder has it already, as after a kill, nothing is done. DVC does not see any of this.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import yaml
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

from base import code, warm_client
from base.stage import LOGS_VARIABLE, PARENT_VARIABLE, log_file
from flows.stages import StageFailed
from flows.workspace import LOG, Workspace
from training.fingerprint import LAST_STAGE, stage_module, stages_before

#: The outputs that the folder has, by stage: a digest of what decided each.
DONE: Final = "done.json"


@dataclass(frozen=True)
class Recipe:
    """Code below `root`, parameters (the content of a `params.yaml`), and the last stage to run."""

    root: Path
    params: Mapping[str, Any]
    last: str = LAST_STAGE

    @cached_property
    def stages(self) -> dict[str, dict[str, Any]]:
        """Its stages, in order."""
        return stages_before(self.root, self.last)

    def keys(self, version: str) -> dict[str, str]:
        """By stage: digest of all that decides its output. version: of the log."""
        keys: dict[str, str] = {}
        makers: dict[str, str] = {}
        for name, stage in self.stages.items():
            files = code.deciding([stage_module(stage)], self.root)
            before = [keys[makers[dep]] for dep in stage.get("deps", []) if dep in makers]
            values = {section: self.params.get(section) for section in stage.get("params", [])}
            what = [version, stage["cmd"], code.digest(files, self.root), values, before]
            keys[name] = sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
            makers |= dict.fromkeys(stage["outs"], name)
        return keys


def fit(
    folder: Path, recipe: Recipe, workspace: Workspace, own: Recipe, logs: Path, warm_path: str = ""
) -> dict[str, float]:
    """Bring the outputs of `recipe` below `folder` up to date. Returns seconds by stage that ran.

    own: the recipe of the workspace, whose outputs are up to date; logs: folder of the stages'
    output; warm_path: as for `stages.run_stages`. Raises StageFailed.
    """
    version = workspace.data_version()
    keys, shared = recipe.keys(version), own.keys(version)
    (folder / "data" / "metrics").mkdir(parents=True, exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump(dict(recipe.params), sort_keys=False))
    _link(folder / LOG, workspace.log)
    done = _read(folder)
    seconds = {}
    for name, stage in recipe.stages.items():
        outs = [Path(out) for out in stage["outs"]]
        if keys[name] == shared.get(name):
            done.pop(name, None)
            _write(folder, done)
            for out in outs:
                _link(folder / out, workspace.root / out)
        elif done.get(name) != keys[name]:
            done.pop(name, None)
            _write(folder, done)
            for out in outs:
                _remove(folder / out)
                (folder / out).parent.mkdir(parents=True, exist_ok=True)
            command = stage["cmd"].replace("${input}", str(LOG))
            seconds[name] = run_stage(name, command, folder, recipe.root, logs, warm_path)
            done[name] = keys[name]
            _write(folder, done)
    return seconds


@task(task_run_name="twin {name}", cache_policy=NO_CACHE)
def run_stage(
    name: str, command: str, folder: Path, root: Path, logs: Path, warm_path: str
) -> float:
    """Run one stage in `folder` with the code below `root`. Returns seconds."""
    began = time.monotonic()
    log = log_file(logs, f"twin-{name}")
    log.unlink(missing_ok=True)
    environment = os.environ | {
        PARENT_VARIABLE: str(os.getpid()),
        LOGS_VARIABLE: str(logs),
        "DVC_STAGE": f"twin-{name}",
        "PYTHONPATH": str(root),
        "RONDO_TRAIN_LOGGER": "none",
    }
    if warm_path:
        environment[warm_client.VARIABLE] = warm_path
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=environment, capture_output=True, check=False
    )
    printed = log.read_text(errors="replace").strip() if log.exists() else ""
    printed = printed or done.stderr.decode(errors="replace").strip()
    if printed:
        get_run_logger().info(printed)
    if done.returncode:
        last = printed.splitlines()[-1] if printed else f"it ended with {done.returncode}"
        raise StageFailed(f"stage {name} failed: {last}")
    return time.monotonic() - began


def _link(path: Path, target: Path) -> None:
    if path.is_symlink() and path.readlink() == target:
        return
    _remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _read(folder: Path) -> dict[str, str]:
    try:
        known: dict[str, str] = json.loads((folder / DONE).read_text())
    except (OSError, ValueError):
        return {}
    return known


def _write(folder: Path, done: Mapping[str, str]) -> None:
    temporary = folder / f".{DONE}"
    temporary.write_text(json.dumps(done, indent=2) + "\n")
    temporary.replace(folder / DONE)
