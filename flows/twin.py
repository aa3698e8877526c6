"""The champion's twin: its recipe, fitted on the challenger's data.

A challenger has newer data than the champion, which alone can make it better. A changed recipe is
therefore compared with the twin as well (ADR 29). The twin is kept below RONDO_HOME until another
one is needed or none, never packaged and never served.
"""

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from base import params
from base.errors import InputError
from base.record import RecordError
from features.items.catalogue import Catalogue
from features.splits.windows import Windows
from flows import twin_stages
from flows.rebuild import changed, with_code
from flows.rollout import CHANNEL, Rollout
from flows.stages import FIRST_STAGE
from flows.twin_stages import Recipe
from flows.workspace import Workspace, WorkspaceError
from serving import channels, verdicts
from serving.policy import PolicyParams
from training.evidence import Evidence
from training.fingerprint import fingerprint
from training.recommender import Recommender
from training.thresholds import GateParams

logger = logging.getLogger("rondo.twin")

NEEDED: Final = ("commit", "patch", "checkout", "params")
#: Where the data folder has what a release ranks with.
MODELS: Final = ("candidates/sources", "transformer", "trees")


class NoTwin(Exception):
    """A twin cannot be had. The message says why, for the verdict."""


@dataclass(frozen=True)
class Twin:
    """The twin of the champion, or why there is none.

    champion: id of the release; recipe: fingerprint of its code and params; data: folder with the
    outputs of its stages; equal: whether its models and policy are the challenger's; missing: why
    there is no twin; seconds: by stage that had to run.
    """

    champion: str
    recipe: str
    data: Path
    policy: PolicyParams = field(default_factory=PolicyParams)
    equal: bool = False
    missing: str = ""
    seconds: dict[str, float] = field(default_factory=dict)

    def load(self, catalogue: Catalogue) -> Recommender:
        """Its models. Raises ReleaseError if they do not fit the catalogue."""
        sources, transformer, trees = (self.data / part for part in MODELS)
        return Recommender.assemble(catalogue, sources, transformer, trees)


def fit(
    workspace: Workspace, engine: sa.Engine, rollout: Rollout, logs: Path, warm_path: str = ""
) -> Twin | None:
    """Fit the champion's twin, if the recipe in the workspace differs from the champion's.

    None if it does not, or nothing is served. The workspace's stages are up to date. A twin of
    before is removed if none is needed. No failure is raised: it is told by `Twin.missing`.
    """
    folder = rollout.settings.root / "twin"
    champion = channels.read(engine, CHANNEL)
    own = None if champion is None else _recipe(engine, champion.release)
    challenger = Evidence.read(workspace.root / "data" / "evaluation" / "evidence.json")
    if champion is None or own is None or own == challenger.fingerprint:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    twin = Twin(champion.release, own, folder / "data")
    try:
        return _fit(twin, folder, challenger.windows, workspace, engine, rollout, logs, warm_path)
    except Exception as error:  # the gate then compares with the champion's own weights
        why = " ".join(str(error).split())
        logger.warning("the champion's recipe was not fitted on these data: %s", why)
        return replace(twin, missing=why)


def _fit(
    twin: Twin,
    folder: Path,
    windows: Windows,
    workspace: Workspace,
    engine: sa.Engine,
    rollout: Rollout,
    logs: Path,
    warm_path: str,
) -> Twin:
    if not params.load(GateParams, "gate", workspace.root / "params.yaml").twin:
        shutil.rmtree(folder, ignore_errors=True)
        raise NoTwin("gate.twin is off")
    record = verdicts.read(engine, twin.champion)
    known = {} if record is None else record.lineage
    if missing := [key for key in NEEDED if key not in known]:
        raise NoTwin(f"the champion has no record of {', '.join(missing)}")
    mine = Recipe(workspace.root, params.read(workspace.root / "params.yaml"))
    root = _code(twin.recipe, known, workspace, rollout, folder / "code")
    theirs = Recipe(root, known["params"])
    warm = warm_path if root == workspace.root else ""
    cut = replace(theirs, last=FIRST_STAGE)
    seconds = twin_stages.fit(folder, cut, workspace, mine, logs, warm)
    if Windows.read(twin.data / "split" / "windows.json").rank_end != windows.rank_end:
        raise NoTwin("its parameters cut the log at another moment")
    seconds |= twin_stages.fit(folder, theirs, workspace, mine, logs, warm)
    policy, drawn = (
        PolicyParams.written(p.get("policy") or {}) for p in (theirs.params, mine.params)
    )
    equal = policy == drawn and all(
        _same(twin.data / part, workspace.root / "data" / part) for part in MODELS
    )
    return replace(twin, policy=policy, equal=equal, seconds=seconds)


def _code(
    recipe: str, known: Mapping[str, Any], workspace: Workspace, rollout: Rollout, folder: Path
) -> Path:
    """Where the champion's code is: the workspace if only parameters differ, else a clone."""
    if fingerprint(known["params"], workspace.root) == recipe:
        shutil.rmtree(folder, ignore_errors=True)
        return workspace.root
    try:
        root = with_code(rollout, known, folder).root
    except (InputError, WorkspaceError) as error:
        raise NoTwin(f"its code cannot be had again: {error}") from None
    if fingerprint(known["params"], root) != recipe:
        raise NoTwin("the champion's code is not what was recorded")
    return root


def _same(one: Path, other: Path) -> bool:
    """Whether two folders hold the same files. One that is missing is an empty one."""
    return one.resolve() == other.resolve() or not changed(one, other)


def _recipe(engine: sa.Engine, release: str) -> str | None:
    """The fingerprint of a release's code and params, or None if it is not known."""
    record = verdicts.read(engine, release)
    if record is None or record.evidence is None:
        return None
    try:
        return Evidence.stored(record.evidence).fingerprint
    except RecordError:
        return None
