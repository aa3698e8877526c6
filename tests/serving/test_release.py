"""Releases are sealed, verified, published as a whole, and reproduced by a fresh process."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.items.catalogue import Catalogue
from features.schema import TIMESTAMP
from serving import golden, release
from serving.check import TOLERANCE, check, passes
from serving.fresh_process import FreshProcess
from serving.release import Release, ReleaseError, seal
from tests.serving.small import make_release
from tests.training import market
from training.recommender import Recommender


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("made") / "release"
    return folder, make_release(folder)


@pytest.fixture
def copy(made: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of a release that a test may damage."""
    return Path(shutil.copytree(made[0], tmp_path / "copy"))


def test_the_same_inputs_give_the_same_id(made: tuple[Path, str], tmp_path: Path) -> None:
    assert make_release(tmp_path / "again") == made[1]
    assert make_release(tmp_path / "other", seed=2) != made[1]
    assert len(made[1]) == 64
    assert set(made[1]) <= set("0123456789abcdef")


def test_a_changed_file_is_found(copy: Path) -> None:
    weights = copy / "transformer" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ReleaseError, match=r"model\.safetensors was changed"):
        Release.open(copy)


@pytest.mark.parametrize("name", ["items.parquet", "trees/model.txt"])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(ReleaseError, match=name):
        Release.open(copy)


def test_a_file_that_is_not_in_the_manifest_is_named(copy: Path) -> None:
    (copy / "extra.json").write_text("{}")
    with pytest.raises(ReleaseError, match=r"extra\.json"):
        release.verify(copy)


def test_a_pickle_can_be_no_part_of_a_release(copy: Path) -> None:
    (copy / "model.pkl").write_bytes(b"\x80\x04.")
    with pytest.raises(ReleaseError, match=r"model\.pkl"):
        release.seal(copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["model.pkl"] = {"sha256": "0" * 64, "bytes": 3}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ReleaseError, match=r"model\.pkl"):
        release.verify(copy)


def test_a_folder_without_manifest_is_no_release(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match=r"no manifest\.json"):
        Release.open(tmp_path)


def test_publishing_twice_changes_nothing(made: tuple[Path, str], tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    assert release.publish(made[0], store) == made[1]
    first = (Path(store) / made[1] / "manifest.json").stat().st_ino
    assert release.publish(made[0], store) == made[1]
    assert (Path(store) / made[1] / "manifest.json").stat().st_ino == first
    assert [path.name for path in Path(store).iterdir()] == [made[1]]
    fetched = release.fetch(made[1], store, tmp_path / "cache")
    assert fetched.id == made[1]
    assert fetched.policy.temperature == 0.5


def test_an_object_store_is_copied_to_a_verified_cache(
    made: tuple[Path, str], tmp_path: Path
) -> None:
    store = f"memory://{tmp_path.name}"
    identity = release.publish(made[0], store)
    assert release.stored(store) == [identity]
    fetched = release.fetch(identity, store, tmp_path / "cache")
    assert fetched.path == tmp_path / "cache" / identity
    release.remove(identity, store)
    assert release.stored(store) == []
    assert release.fetch(identity, store, tmp_path / "cache").id == identity  # from the cache
    with pytest.raises(ReleaseError, match="holds no release"):
        release.fetch(identity, store, tmp_path / "other")


def test_a_spoiled_object_in_a_store_never_reaches_the_cache(
    made: tuple[Path, str], tmp_path: Path
) -> None:
    store = f"memory://{tmp_path.name}"
    identity = release.publish(made[0], store)
    filesystem, root = fsspec.core.url_to_fs(store)
    filesystem.pipe_file(f"{root}/{identity}/policy.json", b"{}")
    with pytest.raises(ReleaseError, match=r"policy\.json was changed"):
        release.fetch(identity, store, tmp_path / "cache")
    assert not (tmp_path / "cache" / identity).exists()


def test_a_release_under_a_false_name_is_refused(made: tuple[Path, str], tmp_path: Path) -> None:
    false = "0" * 64
    shutil.copytree(made[0], tmp_path / false)
    with pytest.raises(ReleaseError, match=f"not {false}"):
        release.fetch(false, str(tmp_path), tmp_path / "cache")


@pytest.mark.parametrize("ahead", [True, False])
def test_a_fresh_process_reproduces_the_golden_scores(
    made: tuple[Path, str], ahead: bool, tmp_path: Path
) -> None:
    with FreshProcess() as process:
        if ahead:
            process.start()  # before there is a release
        folder = Path(shutil.copytree(made[0], tmp_path / "release"))
        numbers = process.measure(folder)
    assert numbers["golden_requests"] > 0
    assert numbers["golden_difference"] == 0.0
    assert numbers["rank_p50_ms"] > 0


def test_a_fresh_process_that_nothing_was_asked_of_ends_with_its_block() -> None:
    before = set(psutil.Process().children())
    with FreshProcess() as process:
        process.start()
        (begun,) = set(psutil.Process().children()) - before
    assert not begun.is_running()


def test_other_weights_under_the_same_golden_scores_are_found(copy: Path, tmp_path: Path) -> None:
    make_release(tmp_path / "other", seed=2)
    shutil.copy(tmp_path / "other" / "trees" / "model.txt", copy / "trees" / "model.txt")
    release.seal(copy)
    numbers = FreshProcess().measure(copy)
    assert numbers["golden_difference"] > 0.01


def test_a_broken_release_has_no_number_but_that_it_does_not_load(copy: Path) -> None:
    (copy / "items.parquet").unlink()
    assert FreshProcess().measure(copy) == {}


def test_golden_requests_are_of_the_snapshot_that_most_requests_have_read() -> None:
    """If a judge window ends soon after midnight, few requests read its newest snapshot."""
    requests = market.requests(market.random_lists(12))
    first = requests.item_features[0]
    features, places = np.stack([first, first + 1]), np.arange(12, dtype=np.int32)
    of_both = replace(requests, item_features=features, snapshot=places // 11)
    chosen = golden.choose(of_both)
    assert chosen.user_ids.tolist() == requests.user_ids[:11].tolist()
    assert np.array_equal(chosen.item_features[0], first, equal_nan=True)
    newest = golden.choose(replace(of_both, snapshot=places // 6))
    assert newest.user_ids.tolist() == requests.user_ids[6:].tolist()


def test_golden_requests_saw_what_items_said_before_and_are_reproduced(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    make_release(folder)
    items = pq.read_table(folder / "items.parquet")
    before = {"until": market.NOW + 1, "title": "word", "description": None, "categories": ["was"]}
    kind = pa.list_(
        pa.struct(
            {
                "until": TIMESTAMP,
                "title": pa.string(),
                "description": pa.string(),
                "categories": pa.list_(pa.string()),
            }
        )
    )
    column = pa.array([[before]] * 20 + [None] * (items.num_rows - 20), kind)
    pq.write_table(items.append_column("past_content", column), folder / "items.parquet")
    catalogue = Catalogue.from_table(pq.read_table(folder / "items.parquet"))
    requests = golden.choose(market.requests(market.random_lists(12)))
    golden.write(folder, Recommender.load(folder, catalogue), requests)
    seal(folder)
    assert passes(check(folder, rounds=1))
    served = Release.open(folder).load(Catalogue.from_table(Release.open(folder).items))
    difference = golden.difference(golden.read(folder), served, served.rank(requests))
    assert difference > TOLERANCE
