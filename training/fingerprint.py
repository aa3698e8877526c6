"""Compute which code and params made a release. Equal fingerprints mean a refresh on newer data.

The code is that of the stages of `dvc.yaml` up to `trees`, found by their imports, of ingestion and
of the policy that draws slates. Fingerprints of earlier schemes never match. A release with such a
fingerprint counts as made by other code, so the stricter rule of the gate applies once.
"""

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import yaml

from base import code

PIPELINE: Final = "dvc.yaml"
#: Later stages only evaluate or package a release.
LAST_STAGE: Final = "trees"
FEATURE_STAGE: Final = "features"
#: Where a release's lineage has its `feature_fingerprint`.
FEATURES_KEY: Final = "feature_fingerprint"
#: Other code that counts: it decides which rows are kept, and which slate is drawn from the scores.
BESIDE: Final = ("features.ingest", "serving.policy")
BESIDE_SECTIONS: Final = frozenset({"ingest", "policy"})
#: Keys of `split` that choose the moments to train and judge on. They do not change what a feature
#: is.
WINDOWS: Final = (
    "rank_days",
    "judge_days",
    "min_targets",
    "min_users",
    "max_window_share",
    "max_queries_per_user",
    "max_queries",
    "max_slates",
)


def fingerprint(params: dict[str, Any], root: Path = code.SOURCE) -> str:
    """SHA-256 of everything that decides the slates of a release: the code below `root` and
    `params`."""
    return _digest(root, code_files(root), {name: params.get(name) for name in sections(root)})


def feature_fingerprint(params: dict[str, Any], root: Path = code.SOURCE) -> str:
    """SHA-256 of the code and params that decide the values in the online store."""
    files = code.deciding(map(stage_module, stages_before(root, FEATURE_STAGE).values()), root)
    split = params.get("split") or {}
    return _digest(root, files, {key: split[key] for key in split if key not in WINDOWS})


def same_features(lineage: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether the releases of two lineages define every stored feature in the same way.

    A lineage from before this was recorded is the same as no other.
    """
    known = lineage.get(FEATURES_KEY)
    return known is not None and known == other.get(FEATURES_KEY)


def code_files(root: Path = code.SOURCE) -> list[str]:
    """Paths below `root` of the code that a fingerprint covers."""
    modules = [stage_module(stage) for stage in stages_before(root, LAST_STAGE).values()]
    return code.deciding([*modules, *BESIDE], root)


def sections(root: Path = code.SOURCE) -> list[str]:
    """Names of the sections of `params.yaml` that a fingerprint covers."""
    stages = stages_before(root, LAST_STAGE)
    return sorted({name for s in stages.values() for name in s.get("params", [])} | BESIDE_SECTIONS)


def pipeline(root: Path = code.SOURCE) -> dict[str, dict[str, Any]]:
    """The stages of `dvc.yaml` by name."""
    stages: dict[str, dict[str, Any]] = yaml.safe_load((root / PIPELINE).read_text())["stages"]
    return stages


def stage_module(stage: dict[str, Any]) -> str:
    """The module that a stage runs, from its command `exec python -m base.stage MODULE …`."""
    words: list[str] = stage["cmd"].split()
    return words[words.index("base.stage") + 1]


def stages_before(root: Path, last: str) -> dict[str, dict[str, Any]]:
    """Stage `last` and all stages whose outputs it needs, in the order of `dvc.yaml`.

    The stage that makes `${input}` is left out.
    """
    stages = pipeline(root)
    makers = {out: name for name, stage in stages.items() for out in stage.get("outs", [])}
    found: set[str] = set()
    waiting = [last]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [makers[dep] for dep in stages[name].get("deps", []) if dep in makers]
    return {name: stage for name, stage in stages.items() if name in found}


def _digest(root: Path, files: list[str], params: dict[str, Any]) -> str:
    text = json.dumps([code.digest(files, root), params], sort_keys=True)
    return sha256(text.encode()).hexdigest()
