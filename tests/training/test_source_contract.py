"""What every source must do: those in the tuple, and one added by a test."""

import shutil
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base import params_file
from base.arrays import Scores
from features.batch.aggregate import aggregate
from features.items.catalogue import Catalogue
from features.ragged import Histories, offsets_of
from features.requests.requests import Requests
from features.requests.training_set import load_queries
from features.schema import DAY, HOUR
from features.splits.split import split
from features.splits.windowing import SplitParams
from tests.features.logs import random_log
from tests.training import market
from tests.training.last_category import LastCategory
from training.sources.all import SOURCES
from training.sources.asked import Asked, ItemTables
from training.sources.log import Events, Log
from training.sources.source import MEMORY, Source
from training.sources.stage import section

ROOT = Path(__file__).resolve().parents[2]
EVERY = (*SOURCES, LastCategory)
NEW = 5


def named(source: type[Source]) -> str:
    return source.name


every_source = pytest.mark.parametrize("source", EVERY, ids=named)


@dataclass(frozen=True)
class World:
    """A split log, judge-window requests over its catalogue, and a folder for each source."""

    log: Log
    catalogue: Catalogue
    requests: Requests
    saved: Path

    def fit(self, source: type[Source]) -> Source:
        return source.fit(self.log, self.log.windows().fit_end, section(source))

    def load(self, source: type[Source]) -> Source:
        return source.load(self.saved / source.name)

    def grown(self) -> tuple[Catalogue, Requests]:
        """The catalogue with NEW more items, an hour old at the first request and already
        popular."""
        ids = [*self.catalogue.item_ids, *(f"new{n}" for n in range(NEW))]
        catalogue = varied(ids, self.requests.timestamps.min())
        known = self.requests.item_features
        dense = np.stack([known[snapshot] for snapshot in range(known.shape[0])])
        popular = np.full((len(dense), NEW, dense.shape[2]), 9.0, dtype=np.float32)
        both = np.concatenate([dense, popular], axis=1)
        return catalogue, replace(self.requests, item_features=both)


def varied(ids: list[str], moment: int) -> Catalogue:
    """Items of four topics, created hour by hour, from the 61st on an hour before `moment`; the
    first are the same for every size. In the log they all have one age and no category."""
    items = len(ids)
    made = market.catalogue(items)
    ages = np.where(np.arange(items) < 60, 60 - np.arange(items), 1) * HOUR
    return replace(made, created_at=moment - ages, item_ids=np.array(ids, dtype=object))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    root = tmp_path_factory.mktemp("world")
    shutil.copy(ROOT / "params.yaml", root)
    params_file.edit(root / "params.yaml", {"fit.max_epochs": 2})
    folders = [root / name for name in ("split", "features", "saved")]
    for folder in folders:
        folder.mkdir()
    split(random_log(root / "log"), folders[0], SplitParams(min_targets=40), False)
    aggregate(folders[0], folders[1])
    requests = load_queries(folders[0], folders[1], "judge", "organic").requests
    ids = pq.read_table(folders[0] / "items.parquet")["item_id"].to_pylist()
    catalogue = varied(ids, requests.timestamps.min())
    made = World(Log(folders[0], folders[1]), catalogue, requests, folders[2])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        for name, value in {"accelerator": "cpu", "threads": "1", "logger": "none"}.items():
            patch.setenv(f"RONDO_TRAIN_{name.upper()}", value)
        for source in EVERY:
            (made.saved / source.name).mkdir()
            made.fit(source).save(made.saved / source.name)
        yield made


def scores(source: Source, catalogue: Catalogue, requests: Requests) -> Scores:
    asked = Asked(requests, ItemTables(catalogue), newest=30, half_life=5.0)
    found = source.attach(catalogue).scores(asked)
    assert found.shape == (len(requests), len(catalogue))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    return found


def test_names_stay_at_the_places_of_their_bits() -> None:
    """Logged slates and golden answers of earlier releases hold these bits."""
    names = [source.name for source in SOURCES]
    assert names[:5] == ["transformer", "neighbours", "content", "popularity", "fresh"]
    assert len(set(names)) == len(names)
    assert len(names) <= 8, "`Candidates.sources` has a byte: widen it first"


@every_source
def test_what_was_saved_scores_as_what_was_fitted(world: World, source: type[Source]) -> None:
    both = world.fit(source), world.load(source)
    found = [scores(each, world.catalogue, world.requests) for each in both]
    np.testing.assert_array_equal(*found)
    assert np.ptp(found[0]) > 0, "it tells no item from another: nothing is shown here"


@every_source
def test_the_same_log_gives_the_same_bytes(
    world: World, source: type[Source], tmp_path: Path
) -> None:
    world.fit(source).save(tmp_path)
    kept = {path.name: path.read_bytes() for path in (world.saved / source.name).iterdir()}
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept


@every_source
@pytest.mark.parametrize("earlier", [0, DAY], ids=["at the end of fit", "a day earlier"])
def test_what_happens_after_the_cut_off_changes_nothing(
    world: World, source: type[Source], earlier: int, tmp_path: Path
) -> None:
    """A source that is `tuned` also reads the rank window, as the trees do."""
    shutil.copytree(world.log.split, tmp_path / "split")
    windows = world.log.windows()
    until = windows.fit_end - earlier
    events = pq.read_table(tmp_path / "split" / "events.parquet")
    times = events.select(["timestamp", "received_at"])
    known = np.max([column.to_numpy() for column in times.columns], axis=0)
    after = known >= (windows.rank_end if source.tuned else until)
    assert after.any()
    items = np.where(after, 0, events["item"].to_numpy()).astype(np.int32)
    other = events.set_column(events.column_names.index("item"), "item", pa.array(items))
    pq.write_table(other, tmp_path / "split" / "events.parquet")
    changed = Log(tmp_path / "split", world.log.features)
    made = [tmp_path / "as it was", tmp_path / "changed"]
    for log, folder in zip((world.log, changed), made, strict=True):
        folder.mkdir()
        source.fit(log, until, section(source)).save(folder)
    first, second = ({path.name: path.read_bytes() for path in each.iterdir()} for each in made)
    assert first == second


@every_source
def test_somebody_without_a_history_is_answered_as_declared(
    world: World, source: type[Source]
) -> None:
    none = world.requests.histories
    nobody = Histories(
        offsets_of(np.zeros(len(world.requests), dtype=np.int64)),
        none.items[:0], none.event_types[:0], none.timestamps[:0],
    )  # fmt: skip
    found = scores(world.load(source), world.catalogue, replace(world.requests, histories=nobody))
    if source.scores_new_users:
        assert (np.ptp(found, axis=1) > 0).all()
    else:
        assert not found.any()


@every_source
def test_an_item_that_came_after_the_fit_scores_as_declared(
    world: World, source: type[Source]
) -> None:
    found = scores(world.load(source), *world.grown())[:, -NEW:]
    assert found.any() == source.scores_new_items


@every_source
def test_appended_items_do_not_change_the_scores_of_those_before(
    world: World, source: type[Source]
) -> None:
    before = scores(world.load(source), world.catalogue, world.requests)
    after = scores(world.load(source), *world.grown())
    np.testing.assert_allclose(after[:, :-NEW], before, rtol=1e-5, atol=1e-6)


@every_source
def test_a_request_alone_scores_as_among_others(world: World, source: type[Source]) -> None:
    fitted = world.load(source)
    whole = scores(fitted, world.catalogue, world.requests)
    for row in range(0, len(world.requests), 7):
        alone = scores(fitted, world.catalogue, world.requests.select(np.array([row])))
        np.testing.assert_allclose(alone[0], whole[row], rtol=1e-5, atol=1e-6)


class BusyLog(Log):
    """Ten people who chose each of 500 items: 2.5 million pairs."""

    def events(self, until: int) -> Events:
        users, items = np.divmod(np.arange(5_000, dtype=np.int32), 500)
        return Events(users, items, np.full(len(users), until - HOUR))


@pytest.mark.parametrize("source", [source for source in EVERY if source.bounded], ids=named)
def test_a_fit_that_is_bounded_keeps_to_its_memory(world: World, source: type[Source]) -> None:
    log = BusyLog(world.log.split, world.log.features)

    def peak(memory: int) -> tuple[Source, int]:
        tracemalloc.start()
        fitted = source.fit(log, log.windows().fit_end, section(source), memory)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return fitted, most

    bound = 10_000_000
    (small, least), (large, most) = peak(bound), peak(MEMORY)
    assert least < 2 * bound < most
    for name, values in vars(large).items():
        np.testing.assert_array_equal(vars(small)[name], values)
