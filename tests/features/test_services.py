"""Training joins and the online store read what a model's FeatureService names."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from base.settings import Settings
from features.batch.aggregate import aggregate
from features.batch.joins import query_items, query_users
from features.feast_store import open_store
from features.online import OnlineStore
from features.repo.definitions import SERVICES
from features.requests.training_set import load_catalogue
from features.schema import ITEM_FEATURES, USER_FEATURES
from features.splits.split import split
from features.splits.windowing import SplitParams
from tests.features.logs import random_log

USER, ITEM = "user_events_30d", "item_events_30d"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("services")
    for name in ("split", "features"):
        (root / name).mkdir()
    split(random_log(root / "log"), root / "split", SplitParams(min_targets=20), False)
    aggregate(root / "split", root / "features")
    return root


def offline(data: Path) -> tuple[bool, bool]:
    """Whether training's joins return a value for USER and for ITEM."""
    users, items = (read(data / "split", data / "features") for read in (query_users, query_items))
    assert set(USER_FEATURES) < set(users.column_names)
    assert set(ITEM_FEATURES) < set(items.column_names)
    return users[USER].null_count < users.num_rows, items[ITEM].null_count < items.num_rows


def online(data: Path, home: Path) -> tuple[bool, bool]:
    """Whether the online store returns a value for USER and for ITEM."""
    store = OnlineStore(Settings(home=home))
    store.materialise(data / "features")
    catalogue = load_catalogue(data / "split")
    users = pq.read_table(data / "split" / "users.parquet")["user_id"].to_pylist()
    values = store.read(users, catalogue, 10).user_features[:, USER_FEATURES.index(USER)]
    of_items = store.read_items(catalogue)[:, ITEM_FEATURES.index(ITEM)]
    return bool(np.isfinite(values).any()), bool(np.isfinite(of_items).any())


def test_adding_a_feature_to_the_service_is_what_makes_it_reach_both(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        for view, gone in (("user_activity", USER), ("item_activity", ITEM)):
            rest = tuple(name for name in SERVICES["trees"][view] if name != gone)
            without.setitem(SERVICES["trees"], view, rest)
        assert offline(data) == (False, False)
        assert online(data, tmp_path) == (False, False)
    assert offline(data) == (True, True)
    assert online(data, tmp_path) == (True, True)


def test_a_store_of_another_version_is_registered_anew_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as earlier:
        earlier.setitem(SERVICES["trees"], "item_activity", ITEM_FEATURES[:2])
        open_store(tmp_path)
    store = open_store(tmp_path)
    (projection,) = (
        projection
        for projection in store.get_feature_service("trees").feature_view_projections
        if projection.name == "item_activity"
    )
    assert tuple(field.name for field in projection.features) == ITEM_FEATURES
