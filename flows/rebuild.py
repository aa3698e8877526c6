"""`rondo rebuild RELEASE`: make a release again from its lineage, in a fresh clone.

The same machine with the same libraries gives the same bytes, and so the same id. Other machines
round differently. Then the golden requests must get the same scores within the tolerance used
whenever a release is loaded.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import yaml

from base.errors import InputError
from base.settings import Settings
from flows import environment, lineage
from flows.rollout import Rollout
from flows.stages import LAST_STAGE
from flows.workspace import LOG, Origin, Workspace, WorkspaceError, stand
from serving import release, verdicts
from serving.check import TOLERANCE

NEEDED: Final = ("commit", "patch", "data_version", "params")


@dataclass(frozen=True)
class Rebuilt:
    """The result of a rebuild.

    difference: largest difference of the golden scores, infinite if other items were found; files:
    names of files that differ.
    """

    release: str
    path: Path
    same: bool
    difference: float
    files: tuple[str, ...]

    @property
    def passes(self) -> bool:
        return self.same or self.difference <= TOLERANCE


def rebuild(rollout: Rollout, record: verdicts.ReleaseRecord, folder: Path) -> Rebuilt:
    """Make the release of `record` again in `folder`, which must be empty or missing.

    Raises InputError or WorkspaceError if its commit, edits, data or recorded lineage are gone.
    """
    known = record.lineage
    if missing := [key for key in NEEDED if key not in known]:
        raise InputError(f"release {record.release[:12]} has no record of {', '.join(missing)}")
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty: a rebuild needs an empty folder")
    original = rollout.fetch(record.release)
    place = with_code(rollout, known, folder)
    (place.root / "params.yaml").write_text(yaml.safe_dump(known["params"], sort_keys=False))
    _pull(place, known["data_version"])
    _reproduce(place, known.get("training", {}))
    return compare(original, place.root / "data" / "release")


def with_code(rollout: Rollout, known: Mapping[str, Any], folder: Path) -> Workspace:
    """Create or update a clone at `folder` that holds the code of a release.

    known: its recorded lineage. Raises InputError or WorkspaceError if its commit or edits are
    gone.
    """
    origin = Origin(known["commit"], lineage.read_patch(known["patch"], rollout.settings.releases))
    recorded = Path(known["checkout"])
    checkout = recorded if (recorded / ".git").exists() else environment.CHECKOUT
    return stand(folder, checkout, rollout.settings.remote, origin)


def compare(original: Path, rebuilt: Path) -> Rebuilt:
    """Compare a rebuilt release folder with the original."""
    identity = release.verify(rebuilt)
    same = identity == release.release_id(original)
    return Rebuilt(
        identity,
        rebuilt,
        same,
        0.0 if same else _golden_difference(original, rebuilt),
        tuple(changed(original, rebuilt)),
    )


def _pull(place: Workspace, version: str) -> None:
    from dvc.exceptions import DvcException

    pointer = place.root / f"{LOG}.dvc"
    pointer.parent.mkdir(parents=True, exist_ok=True)
    out = {"md5": version, "hash": "md5", "path": LOG.name}
    pointer.write_text(yaml.safe_dump({"outs": [out]}))
    try:
        with place.repo() as repo:
            repo.pull(targets=[str(pointer.relative_to(place.root))])
    except DvcException as error:
        raise InputError(
            f"data version {version} is not in the remote any more, or cannot be read: {error}"
        ) from error


def _reproduce(place: Workspace, training: dict[str, Any]) -> None:
    """Run all stages in a separate home, so that no earlier result is reused."""
    options = {f"RONDO_TRAIN_{name.upper()}": str(value) for name, value in training.items()}
    own = environment.variables(Settings(home=place.root / ".rondo"))
    command = [sys.executable, "-m", "dvc", "repro", "--quiet", LAST_STAGE]
    done = subprocess.run(
        command,
        cwd=place.root,
        env={**os.environ, **own, **options},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise WorkspaceError(f"the pipeline of {place.root} failed: {last}")


def changed(original: Path, rebuilt: Path) -> list[str]:
    """Names of files that differ or exist in only one of two folders."""
    hashes: list[dict[str, str]] = []
    for folder in (original, rebuilt):
        paths = [path for path in folder.rglob("*") if path.is_file()]
        hashes.append(
            {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in paths}
        )
    one, other = hashes
    names = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
    return sorted(names - {release.MANIFEST})


def _golden_difference(original: Path, rebuilt: Path) -> float:
    """The largest difference of the rebuilt release's scores from the original's golden scores."""
    from serving import golden

    known = golden.read(original)
    made = release.Release.open(rebuilt)
    recommender = made.load(release.Release.open(original).catalogue())
    return golden.difference(known, recommender, recommender.rank(known.requests))
