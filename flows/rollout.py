"""Bring a packaged release to users: publish, promote, materialise, and delete old releases.

Modules that score or serve are imported only where needed, so that `rondo status` does not wait for
them.
"""

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from base.settings import Settings
from flows import lineage
from flows.environment import CHECKOUT
from flows.retrain_params import RetrainParams
from flows.workspace import Workspace, locked, prepare
from serving import canaries, channels, verdicts
from serving.channels import Channel
from serving.database import connect
from serving.fences import Fence
from training.fingerprint import same_features

if TYPE_CHECKING:
    from features.online import OnlineStore

logger = logging.getLogger("rondo.rollout")

CHANNEL = "champion"


@cache
def installation() -> "Rollout":
    """The installation that the environment names, with one database engine and online store per
    process."""
    settings = Settings()
    return Rollout(settings, connect(settings.database))


@dataclass(frozen=True)
class Rollout:
    """The releases of an installation."""

    settings: Settings
    engine: sa.Engine

    @cached_property
    def reports(self) -> Path:
        """The folder of the verdict pages."""
        return self.settings.root / "verdicts"

    @cached_property
    def online(self) -> "OnlineStore":
        """The online feature store. The first call imports Feast, which takes seconds."""
        from features.online import OnlineStore

        return OnlineStore(self.settings)

    def workspace(self, overrides: Mapping[str, Any]) -> Workspace:
        """Prepare the retraining workspace from the checkout's present state."""
        return prepare(self.settings.root / "workspace", CHECKOUT, self.settings.remote, overrides)

    def at_workspace(self) -> AbstractContextManager[None]:
        """Keep other processes of this machine out of the workspace during the block."""
        return locked(self.settings.root / "workspace")

    def fetch(self, identity: str) -> Path:
        """A verified local copy of a release. Raises ReleaseError."""
        from serving import release

        cache = self.settings.root / "cache" / "releases"
        return release.fetch(identity, self.settings.releases, cache).path

    def publish(self, workspace: Workspace, now: int, fence: Fence | None) -> str:
        """Copy `data/release` to the releases under its id, and record its lineage."""
        from serving import release

        folder = workspace.root / "data" / "release"
        identity = release.publish(folder, self.settings.releases)
        own = release.Release.open(folder).lineage
        origin = lineage.recorded(workspace, self.engine, self.settings.releases)
        path = f"{self.settings.releases.rstrip('/')}/{identity}"
        verdicts.register(self.engine, identity, path, own | origin, now=now, fence=fence)
        return identity

    def promote(
        self, identity: str, champion: Channel | None, now: int, fence: Fence | None
    ) -> Channel:
        """Make `identity` the champion, if the channel still points to `champion`.

        Raises ChannelMoved if it was moved after the gate judged.
        """
        generation = champion.generation if champion else 0
        return channels.move(self.engine, CHANNEL, identity, generation, fence, now=now)

    def same_features(self, identity: str, champion: Channel | None) -> bool:
        """Whether a release that is held may change the features that the champion reads."""
        same = self.can_share_features(identity, champion)
        if champion is not None and not same:
            logger.warning(
                "release %s is held and has other features than the champion %s: the online store "
                "keeps the champion's, which do not get newer until a release is promoted",
                identity[:12],
                champion.release[:12],
            )
        return same

    def can_share_features(self, identity: str, champion: Channel | None) -> bool:
        """Whether this release and the champion define every stored feature in the same way, so
        that one online store serves both."""
        if champion is None or champion.release == identity:
            return True
        records = [verdicts.read(self.engine, i) for i in (identity, champion.release)]
        known = [record.lineage for record in records if record]
        return len(known) == 2 and same_features(*known)

    def materialise(self, workspace: Workspace, now: int) -> None:
        """Load the newest snapshot of `data/features` by `now` (µs) into the online store.

        A lost store gets the live histories first, because after this the service reads them from
        the store instead of the log.
        """
        if self.online.snapshot() == 0:
            self.restore_histories(logger.info)
        self.online.materialise(workspace.root / "data" / "features", now)

    def restore_histories(self, say: Callable[[str], None]) -> int:
        """Push every user's live history to the online store; see `live_histories.restore`."""
        from flows import live_histories

        champion = channels.read(self.engine, CHANNEL)
        folder = None if champion is None else self.fetch(champion.release)
        return live_histories.restore(self.engine, self.online, folder, say)

    def on_trial(self) -> set[str]:
        """The releases of the running canary and shadow."""
        both = (canaries.running(self.engine, name) for name in ("canary", "shadow"))
        return {row.release for row in both if row is not None}

    def retain(self, workspace: Workspace, params: RetrainParams) -> list[str]:
        """Delete all releases except the newest, every past champion, and canary and shadow.
        Returns the deleted ones.

        Their experiments are deleted too, with data that no other experiment needs; records and
        verdicts stay. Releases in a shared folder that this installation did not register are not
        deleted.
        """
        from serving import release

        keep, champions = params.keep, channels.past(self.engine, CHANNEL) | self.on_trial()
        own = verdicts.identities(self.engine)
        stored = release.begun(self.settings.releases)
        doomed = sorted(set(stored) & set(own[keep:]) - champions)
        for identity in doomed:
            release.remove(identity, self.settings.releases)
            shutil.rmtree(self.settings.root / "cache" / "releases" / identity, ignore_errors=True)
        # Include releases deleted earlier: a run killed at this point has left their experiments.
        names = {experiment(identity) for identity in set(own[keep:]) - champions}
        workspace.forget(names, remote_too=self.settings.remote_url is None)
        for folder in ("checkpoints", "tensorboard/fit"):
            remove_older(self.settings.root / folder, params.trace_days)
        return doomed


def remove_older(folder: Path, days: float) -> None:
    """Remove entries of `folder` that were not written to for `days`."""
    for path in folder.glob("*"):
        if path.stat().st_mtime < time.time() - days * 86_400:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def experiment(identity: str) -> str:
    """The name of the DVC experiment that made a release."""
    return identity[:12]
