"""A small market in memory: items, requests and fitted sources."""

from pathlib import Path

import numpy as np
from scipy import sparse

from base.arrays import Int32s
from features.items.catalogue import Catalogue
from features.ragged import Histories, Ragged, offsets_of
from features.requests.requests import Queries, Requests
from features.schema import DAY, EVENT_CODES, HOUR, ITEM_FEATURES, USER_FEATURES
from training.sources.all import SOURCES
from training.sources.content import Content
from training.sources.fitted import Sources, SourceSettings
from training.sources.fresh import Fresh
from training.sources.log import Log
from training.sources.neighbours import NeighbourParams, Neighbours, build_neighbours
from training.sources.popularity import Popularity
from training.sources.stage import fit_into

NOW = 20_000 * DAY
ITEMS = 60


def catalogue(items: int = ITEMS, seed: int = 1) -> Catalogue:
    """`items` items of four categories; the last of any catalogue is a day old, the others older.

    The first items are the same for every size.
    """
    random = np.random.default_rng(seed)
    rows = random.normal(size=(1000, 256)).astype(np.float32)[:items]
    topic = np.arange(items) % 4
    centres = np.random.default_rng(99).normal(size=(4, 256)).astype(np.float32)
    text = rows + 2.0 * centres[topic]
    available = np.ones(items, dtype=np.bool_)
    available[3] = False
    return Catalogue(
        item_ids=np.array([f"i{i}" for i in range(items)], dtype=object),
        titles=np.array([f"Item {i}" for i in range(items)], dtype=object),
        created_at=NOW - (1000 - np.arange(items, dtype=np.int64)) * HOUR,
        available=available,
        price=np.linspace(1, 50, 1000, dtype=np.float32)[:items],
        categories=sparse.csr_matrix(np.eye(4, dtype=np.float32)[topic]),
        category_names=("a", "b", "c", "d"),
        text=(text / np.linalg.norm(text, axis=1, keepdims=True)).astype(np.float32),
    )


def histories(lists: list[list[int]]) -> Histories:
    """One event an hour, the last an hour before NOW."""
    lengths = [len(row) for row in lists]
    ages = [HOUR * (len(row) - place) for row in lists for place in range(len(row))]
    return Histories(
        offsets_of(lengths),
        np.array([i for row in lists for i in row], dtype=np.int32),
        np.full(sum(lengths), EVENT_CODES["click"], dtype=np.int8),
        NOW - np.array(ages, dtype=np.int64),
    )


def requests(
    lists: list[list[int]],
    items: int = ITEMS,
    hidden: list[list[int]] | None = None,
    seed: int = 2,
) -> Requests:
    """One request at NOW for each history; two snapshots of random item activity."""
    n = len(lists)
    random = np.random.default_rng(seed)
    user_features = random.random((n, len(USER_FEATURES)), dtype=np.float32)
    user_features[::3] = np.nan
    return Requests.of(
        [f"u{i}" for i in range(n)],
        [NOW] * n,
        random.poisson(3.0, (2, items, len(ITEM_FEATURES))).astype(np.float32),
        histories=histories(lists),
        user_features=user_features,
        impressed=Ragged.from_lists([[0, 5] for _ in lists]),
        impressed_counts=np.full(2 * n, 3.0, dtype=np.float32),
        snapshot=(np.arange(n) % 2).astype(np.int32),
        hidden=Ragged.from_lists(hidden or [[] for _ in lists]),
    )


def random_lists(count: int, seed: int = 3, items: int = ITEMS) -> list[list[int]]:
    """Histories of 0 to 12 distinct items."""
    random = np.random.default_rng(seed)
    return [random.permutation(items)[: random.integers(0, 13)].tolist() for _ in range(count)]


def queries(lists: list[list[int]], targets: list[list[int]], items: int = ITEMS) -> Queries:
    """Organic queries, one user each."""
    return Queries(
        requests(lists, items),
        Ragged.from_lists(targets),
        np.arange(len(lists), dtype=np.int64),
        Ragged.from_lists([[] for _ in lists]),
    )


def events(seed: int = 4) -> tuple[Int32s, Int32s]:
    """Users and items of 600 events by 40 users; nobody chose the last ten items."""
    random = np.random.default_rng(seed)
    users = np.sort(random.integers(0, 40, 600)).astype(np.int32)
    topic = users % 4
    items = (random.integers(0, (ITEMS - 10) // 4, 600) * 4 + topic).astype(np.int32)
    return users, items


def sources(of: Catalogue, per_source: int = 8) -> Sources:
    """Sources fitted on `events`."""
    settings = SourceSettings.of(of, ITEMS - 10, per_source=per_source, recent=20, half_life=5.0)
    return Sources(settings, (neighbours(), Content(), Popularity(7), Fresh(45.0)))


def neighbours() -> Neighbours:
    """Neighbours fitted on `events`, as if all events had the same time."""
    users, items = events()
    params = NeighbourParams(count=10, shrinkage=1.0)
    return Neighbours(*build_neighbours(users, items, np.zeros(len(users)), ITEMS - 10, params))


def fit_sources(data: Path, out: Path) -> Path:
    """Write to `out` what the stages of the sources make of `split/` and `features/` in `data`.

    The working directory must hold params.yaml.
    """
    out.mkdir(parents=True)
    for source in SOURCES:
        if source.stage == source.name:
            fit_into(source, Log(data / "split", data / "features"), out / source.name)
    return out


def save_sources(folder: Path, of: Catalogue) -> Path:
    """A release folder with sources only."""
    sources(of).save(folder / "sources")
    return folder
