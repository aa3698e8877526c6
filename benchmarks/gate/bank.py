"""A bank of real releases of one world, trained once and kept.

Every release is made by the stages of `dvc.yaml`, in folders of the bank's own. A stage's output is
kept under a digest of the parameters that decided it, so releases share what they have in common,
and a killed build goes on. Code is not part of the digest: delete the folder to train anew.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import yaml

from base.errors import InputError
from base.settings import Settings
from benchmarks.child import CHECKOUT
from benchmarks.gate.recipes import RECIPES
from features.items.catalogue import Catalogue
from training.fingerprint import LAST_STAGE
from training.recommender import Recommender

SOURCES: Final = ("base", "features", "training", "serving", "simulation")


@dataclass(frozen=True)
class Bank:
    """The releases of one world. root: folder of the bank; seed: of the world; log: what is read
    instead of the world's history."""

    root: Path
    seed: int
    world: Mapping[str, Any]
    log: Path | None = None

    @staticmethod
    def of(seed: int, home: Path | None = None, **world: Any) -> "Bank":
        """The bank of a seed in RONDO_HOME. world: values of section `world` that differ."""
        home = home or Settings().root / "gate-bank"
        text = json.dumps(world, sort_keys=True)
        name = f"seed-{seed}" + (f"-{sha256(text.encode()).hexdigest()[:8]}" if world else "")
        return Bank(home / name, seed, world)

    @property
    def data(self) -> Path:
        """The data folder of the first recipe, from which mornings are read."""
        return self.root / "releases" / next(iter(RECIPES)) / "data"

    @property
    def params(self) -> Path:
        """Its params.yaml."""
        return self.data.parent / "params.yaml"

    def load(self, name: str, catalogue: Catalogue) -> Recommender:
        """A release of the bank. Raises ReleaseError if it does not fit the catalogue."""
        data = self.root / "releases" / name / "data"
        return Recommender.assemble(
            catalogue, data / "candidates" / "sources", data / "transformer", data / "trees"
        )

    def build(self, name: str, recipe: Mapping[str, Any]) -> float:
        """Make a release, unless it is there. Returns the seconds it took."""
        began = time.perf_counter()
        folder = self.root / "releases" / name
        params = self._params(recipe)
        keys = _keys(params)
        done = folder / "done.json"
        if done.exists() and json.loads(done.read_text()) == keys:
            return 0.0
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "data").mkdir(parents=True)
        (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
        for source in SOURCES:
            (folder / source).symlink_to(CHECKOUT / source)
        shutil.copyfile(CHECKOUT / "dvc.yaml", folder / "dvc.yaml")
        for stage, defined in _stages().items():
            if self.log is None or stage != "world":
                self._stage(folder, stage, defined, keys[stage], params["input"])
        done.write_text(json.dumps(keys, indent=2) + "\n")
        return time.perf_counter() - began

    def _params(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        params: dict[str, Any] = yaml.safe_load((CHECKOUT / "params.yaml").read_text())
        own = {f"world.{key}": value for key, value in self.world.items()}
        for key, value in {"world.seed": self.seed, **own, **recipe}.items():
            section, _, last = key.partition(".")
            params[section][last] = value
        if self.log is not None:
            params["input"] = str(self.log)
        return params

    def _stage(
        self, folder: Path, stage: str, defined: Mapping[str, Any], key: str, source: str
    ) -> None:
        kept = self.root / "stages" / f"{stage}-{key}"
        outs = [Path(out) for out in defined["outs"]]
        if not kept.exists():
            _run(folder, stage, defined["cmd"].replace("${input}", source))
            temporary = kept.with_name(f".{kept.name}")
            shutil.rmtree(temporary, ignore_errors=True)
            for out in outs:
                (temporary / out).parent.mkdir(parents=True, exist_ok=True)
                (folder / out).rename(temporary / out)
            temporary.rename(kept)
        for out in outs:
            (folder / out).parent.mkdir(parents=True, exist_ok=True)
            (folder / out).symlink_to(kept / out)


def _stages() -> dict[str, dict[str, Any]]:
    """The stages that make a release, in order, from `world` on."""
    stages: dict[str, dict[str, Any]] = yaml.safe_load((CHECKOUT / "dvc.yaml").read_text())[
        "stages"
    ]
    names = list(stages)
    return {name: stages[name] for name in names[: names.index(LAST_STAGE) + 1]}


def _keys(params: Mapping[str, Any]) -> dict[str, str]:
    """By stage: digest of what decides its output, its parameters and those of the stages
    before."""
    keys: dict[str, str] = {}
    makers: dict[str, str] = {}
    for name, stage in _stages().items():
        needed = [dep.replace("${input}", params["input"]) for dep in stage.get("deps", [])]
        before = sorted(keys[makers[dep]] for dep in needed if dep in makers)
        values = {section: params.get(section) for section in stage.get("params", [])}
        text = json.dumps([name, stage["cmd"], values, before], sort_keys=True)
        keys[name] = sha256(text.encode()).hexdigest()[:16]
        makers |= dict.fromkeys(stage["outs"], name)
    return keys


def _run(folder: Path, stage: str, command: str) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(CHECKOUT),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RONDO_HOME": str(folder / ".rondo"),
        "RONDO_TRAIN_LOGGER": "none",
    }
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = "\n".join((done.stderr or done.stdout).splitlines()[-5:])
        raise InputError(f"stage {stage} of {folder} ended with {done.returncode}:\n{last}")
