"""What an installation keeps, and for how long."""

import os
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from base.settings import Settings
from flows.retrain_params import RetrainParams
from flows.rollout import CHANNEL, Rollout, experiment
from flows.workspace import Workspace
from serving import channels, release, verdicts
from tests.flows.conftest import git

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # BentoML's imports

DAY = 86_400


@pytest.fixture
def rollout(tmp_path: Path, engine: sa.Engine) -> Rollout:
    return Rollout(Settings(home=tmp_path / "home"), engine)


def published(rollout: Rollout, folder: Path, number: int) -> str:
    """A release of one file."""
    folder.mkdir(parents=True)
    (folder / "lineage.json").write_text(f'{{"number": {number}}}')
    release.seal(folder)
    identity = release.publish(folder, rollout.settings.releases)
    verdicts.register(rollout.engine, identity, str(folder), {}, now=number)
    return identity


def test_the_newest_releases_and_every_past_champion_are_kept(
    rollout: Rollout, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "bentoml"))
    made = [published(rollout, tmp_path / str(number), number) for number in range(5)]
    channels.move(rollout.engine, CHANNEL, made[1], 0, None, now=1)
    for identity in made:
        ref = f"refs/exps/ab/{'c' * 38}/{experiment(identity)}"
        git(workspace.checkout, "update-ref", ref, "HEAD")
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    (stranger / "lineage.json").write_text("{}")
    release.seal(stranger)
    other = release.publish(stranger, rollout.settings.releases)
    assert set(rollout.retain(workspace, RetrainParams(keep=2))) == {made[0], made[2]}
    kept = {made[1], made[3], made[4]}
    assert set(release.stored(rollout.settings.releases)) == kept | {other}
    refs = git(workspace.checkout, "for-each-ref", "--format=%(refname)", "refs/exps").split()
    assert {ref.rpartition("/")[2] for ref in refs} == {experiment(i) for i in kept}
    assert rollout.retain(workspace, RetrainParams(keep=2)) == []


def test_traces_of_old_fits_go(rollout: Rollout, workspace: Workspace) -> None:
    root = rollout.settings.root
    old, new = root / "checkpoints" / "old", root / "checkpoints" / "new"
    curves = root / "tensorboard" / "fit" / "version_0"
    for folder in (old, new, curves):
        folder.mkdir(parents=True)
    for folder in (old, curves):
        os.utime(folder, (time.time() - 40 * DAY,) * 2)
    rollout.retain(workspace, RetrainParams(keep=2))
    assert [folder.exists() for folder in (old, new, curves)] == [False, True, False]
