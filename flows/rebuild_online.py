"""`rondo rebuild-online`: fill a lost online store again from other stores.

Live histories come from the feedback log. Batch views come from the data version of the newest
release that defines its features as the champion does, as a retrain would have left them.
"""

import logging
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from base.errors import InputError
from flows.environment import CHECKOUT
from flows.lease import lease
from flows.rollout import CHANNEL, Rollout, experiment
from flows.workspace import Workspace
from serving import channels, verdicts
from training.fingerprint import same_features

#: The part of a release's data version that materialising needs.
FEATURES = "data/features"


@dataclass(frozen=True)
class Refilled:
    """The result of a rebuild.

    users: number of users whose live history was restored; release: the release whose features are
    in the batch views, or None if no release was ever promoted.
    """

    users: int
    release: str | None


def rebuild(rollout: Rollout, say: Callable[[str], None]) -> Refilled:
    """Fill the online store. Doing so again changes nothing. say: receives progress messages.

    Histories come first: they need no lease, and a running service uses the store again once the
    batch views are complete. Raises InputError if the features cannot be found, and Busy during a
    retrain (which fills the store itself).
    """
    champion = channels.read(rollout.engine, CHANNEL)
    if champion is None:
        say("no champion: there are no batch views to restore")
    users = rollout.restore_histories(say)
    if champion is None:
        return Refilled(users, None)
    with lease(rollout.engine, "retrain", ask_again=False), rollout.at_workspace():
        source, features = features_of(rollout, champion.release)
        say(f"batch views from the data of release {source.release[:12]} ...")
        rollout.online.materialise(features, source.created_at)
    return Refilled(users, source.release)


def features_of(rollout: Rollout, champion: str) -> tuple[verdicts.ReleaseRecord, Path]:
    """The newest release with the champion's features, and a folder with them.

    Raises InputError if no such data version is available.
    """
    root = rollout.settings.root / "workspace"
    place = Workspace(root, CHECKOUT) if (root / ".git").exists() else rollout.workspace({})
    known = verdicts.read(rollout.engine, champion)
    wanted = known.lineage if known is not None else {}
    folder = rollout.settings.root / "cache" / "features"
    for identity in verdicts.identities(rollout.engine):
        record = verdicts.read(rollout.engine, identity)
        if record is None:
            continue
        same = identity == champion or same_features(record.lineage, wanted)
        if same and checked_out(place, experiment(record.release), folder):
            return record, folder
    raise InputError(
        f"neither the DVC cache nor the remote holds the features of release {champion[:12]}: "
        "`rondo retrain` makes new ones"
    )


def checked_out(place: Workspace, name: str, folder: Path) -> bool:
    """Copy the features of experiment `name` to `folder`.

    Returns False if they are not available.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException
    from scmrepo.exceptions import SCMError

    fetch = ["git", "fetch", "-q", "origin", "+refs/exps/*:refs/exps/*"]
    subprocess.run(fetch, cwd=place.root, capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("dvc").setLevel(logging.ERROR)
    try:
        files = DVCFileSystem(str(place.root), rev=name)
        files.get(FEATURES, str(folder), recursive=True)
    except (DvcException, SCMError, OSError) as error:
        logging.getLogger("rondo.rebuild").warning("experiment %s: %s", name, error)
        return False
    return True
