"""Releases that are broken, dangerous or too heavy."""

import os
import pickle
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base.params_file import edit
from flows.workspace import Workspace
from serving import channels
from serving.release import MANIFEST, ReleaseError, seal
from tests.flows.rivals import Rivals
from tests.planted.grafts import graft, idle_trees
from tests.planted.runs import WARNINGS, Installation, Tally, against, copy, package_stage

pytestmark = [pytest.mark.slow, *WARNINGS]


@pytest.fixture
def place(rivals: Rivals, tmp_path: Path) -> Workspace:
    """A workspace whose release is promoted, if nothing is planted."""
    return copy(rivals.equal, tmp_path / "place")


def packaged(place: Workspace) -> Path:
    return place.root / "data" / "release"


def test_a_vocabulary_of_another_shop(
    installation: Installation, place: Workspace, tally: Tally
) -> None:
    """The release brings the items of a catalogue that its models do not know."""
    items = pq.read_table(packaged(place) / "items.parquet")
    other = pa.array([f"other{n}" for n in range(items.num_rows)])
    items = items.set_column(items.schema.get_field_index("item_id"), "item_id", other)
    pq.write_table(items, packaged(place) / "items.parquet")
    seal(packaged(place))
    judgement = installation.judge(place)
    tally.verdict("wrong vocabulary", judgement, "release.golden", "could not load")
    assert judgement.verdict.decision == "reject"


def test_a_slow_model(installation: Installation, place: Workspace, tally: Tally) -> None:
    """So many trees that add nothing."""
    edit(place.root / "params.yaml", {"gate.max_milliseconds": 8.0})
    model = place.root / "data" / "trees" / "model.txt"
    graft(model, idle_trees(model, 20_000))
    package_stage(place)
    judgement = installation.judge(place)
    tally.verdict("slow model", judgement, "release.latency", "half of the requests rank within")
    assert against(judgement) == ["release.latency"]


def test_a_huge_model(installation: Installation, place: Workspace, tally: Tally) -> None:
    edit(place.root / "params.yaml", {"gate.max_megabytes": 5.0})
    (packaged(place) / "sources" / "notes.txt").write_text("x" * 6_000_000)
    seal(packaged(place))
    judgement = installation.judge(place)
    tally.verdict("huge model", judgement, "release.size", "at most 5 MB allowed")
    assert against(judgement) == ["release.size"]


class Harm:
    """Runs a command when it is read."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self.command,)


def test_a_pickle_is_refused_whatever_it_is_called(
    installation: Installation, place: Workspace, tmp_path: Path, tally: Tally
) -> None:
    trace = tmp_path / "harmed"
    harm = pickle.dumps(Harm(f"touch {trace}"))
    model = packaged(place) / "trees" / "model.txt"
    manifest = packaged(place) / MANIFEST
    (model.parent / "model.pkl").write_bytes(harm)
    with pytest.raises(ReleaseError, match="a release holds only"):
        seal(packaged(place))
    sealed = manifest.read_text()
    manifest.write_text(sealed.replace('"trees/model.txt"', '"trees/model.pkl"'))
    model.unlink()
    with pytest.raises(ReleaseError, match="a release holds only"):
        installation.judge(place)
    (model.parent / "model.pkl").rename(model)
    with pytest.raises(ReleaseError, match=r"is not a \.txt file by its content"):
        seal(packaged(place))
    manifest.write_text(sealed)
    with pytest.raises(ReleaseError, match=r"is not a \.txt file by its content"):
        installation.judge(place)
    assert not trace.exists()
    tally.count("pickle smuggled in")


def test_a_file_cut_off_after_the_release_was_published(
    installation: Installation, place: Workspace, tally: Tally
) -> None:
    release = installation.publish(place)
    stored = Path(installation.rollout.settings.releases) / release
    weights = stored / "sources" / "neighbours.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    before = channels.read(installation.rollout.engine, "champion")
    with pytest.raises(ReleaseError, match="was changed after the release was made"):
        installation.judge_published(release, place)
    assert channels.read(installation.rollout.engine, "champion") == before
    shutil.rmtree(stored)
    with pytest.raises(ReleaseError, match="holds no release"):
        installation.judge_published(release, place)
    tally.count("truncated file")
