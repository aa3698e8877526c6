"""The online store on a real Feast SQLite store (and on Redis, if there is one)."""

import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from base.settings import Settings
from features.batch.aggregate import aggregate
from features.batch.joins import items_at
from features.batch.snapshots import FILE, Snapshots
from features.ingest import store_events
from features.items.catalogue import Catalogue
from features.merge import UserHistory
from features.online import OnlineStore
from features.requests.parity import offline_requests, user_parts
from features.requests.requests import Requests
from features.requests.training_set import load_catalogue
from features.requests.user_rows import UserRows
from features.schema import DAY, EVENT_CODES, MINUTE, POSITIVE, TIMESTAMP
from features.splits.split import split
from features.splits.windowing import SplitParams
from tests.features.logs import START, random_log

PARAMS = SplitParams(min_targets=20)
LENGTH = PARAMS.history_length
NOW = START + 100 * DAY


@dataclass(frozen=True)
class Built:
    """Split and features of a log, and the longer log of which it is the first part."""

    folder: Path
    whole: Path
    catalogue: Catalogue

    @property
    def features(self) -> Path:
        return self.folder / "features"


def build(log: Path, folder: Path) -> Path:
    for name in ("split", "features"):
        (folder / name).mkdir(parents=True)
    split(log, folder / "split", PARAMS, False)
    aggregate(folder / "split", folder / "features")
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Days 0 to 5 of a log whose days 0 to 6 are in `whole`."""
    root = tmp_path_factory.mktemp("online")
    everything = random_log(root / "source", days=7)
    events = pa.concat_tables(
        [pq.read_table(path) for path in sorted(everything.glob("events/*/*.parquet"))]
    )
    received = events["received_at"].cast(pa.int64()).to_numpy()
    cut = START + 6 * DAY
    for name, mask in (("first", received < cut), ("whole", received < cut + DAY)):
        store_events(events.filter(pa.array(mask)), root / name, 0, NOW)
        (root / name / "items").symlink_to(everything / "items")
    build(root / "first", root / "old")
    build(root / "whole", root / "new")
    return Built(root / "old", root / "new", load_catalogue(root / "old/split"))


@pytest.fixture
def store(tmp_path: Path) -> OnlineStore:
    return OnlineStore(Settings(home=tmp_path))


def test_a_store_that_was_never_filled_knows_nobody(store: OnlineStore, built: Built) -> None:
    rows = store.read(["u1"], built.catalogue, LENGTH)
    assert store.snapshot() == 0
    assert np.isnan(rows.user_features).all()
    assert np.isnan(store.read_items(built.catalogue)).all()
    assert rows.histories.lengths.tolist() == [0]


def test_materialising_loads_the_last_snapshot_whole(store: OnlineStore, built: Built) -> None:
    snapshot = store.materialise(built.features)
    assert snapshot == START + 6 * DAY
    assert store.snapshot() == snapshot
    item_ids = pa.chunked_array([built.catalogue.item_ids.tolist()])
    offline = items_at(item_ids, np.array([snapshot]), built.features)
    assert offline["item"].to_pylist() == list(range(len(item_ids)))
    online = store.read_items(built.catalogue)
    assert online[:, 3].tolist() == offline["item_events_30d"].to_pylist()


def test_features_that_an_earlier_rondo_left_are_loaded(
    store: OnlineStore, built: Built, tmp_path: Path
) -> None:
    """They have no first and last snapshot, and a row for every item in each snapshot."""
    old = tmp_path / "features"
    shutil.copytree(built.features, old)
    span = Snapshots.read(old)
    (old / FILE).unlink()
    table = pq.read_table(old / "item_activity.parquet")
    last = table.group_by("item_id", use_threads=False).aggregate(
        [(name, "last") for name in table.column_names if name != "item_id"]
    )
    last = last.rename_columns([name.removesuffix("_last") for name in last.column_names])
    moment = pa.scalar(span.last).cast(TIMESTAMP)
    for name in ("event_timestamp", "created_timestamp"):
        place = last.schema.get_field_index(name)
        last = last.set_column(place, name, pa.repeat(moment, last.num_rows))
    pq.write_table(
        pa.concat_tables([table, last.select(table.column_names)]), old / "item_activity.parquet"
    )
    assert store.materialise(old) == span.last
    found = store.read_items(built.catalogue)
    store.materialise(built.features)
    np.testing.assert_array_equal(found, store.read_items(built.catalogue))


def test_a_pushed_click_is_in_the_next_history(store: OnlineStore, built: Built) -> None:
    store.materialise(built.features)
    before = store.read(["u1"], built.catalogue, LENGTH).histories
    click = UserHistory(["i3"], [EVENT_CODES["click"]], [START + 6 * DAY + 5], ["i4"])
    for _ in range(3):  # pushing again changes nothing
        store.push_history({"u1": click, "newcomer": click}, START + 6 * DAY + 6)
    rows = store.read(["u1", "newcomer"], built.catalogue, LENGTH)
    assert rows.histories.lengths.tolist() == [len(before.items) + 1, 1]
    assert rows.histories.timestamps[rows.histories.offsets[1] - 1] == START + 6 * DAY + 5
    assert built.catalogue.index["i4"] in rows.hidden[0]


def test_materialising_does_not_lose_what_was_pushed(store: OnlineStore, built: Built) -> None:
    click = UserHistory(["i3"], [EVENT_CODES["click"]], [START + 6 * DAY + 5])
    store.push_history({"u1": click}, START + 6 * DAY + 6)
    store.materialise(built.features)
    history = store.read(["u1"], built.catalogue, LENGTH).histories
    assert len(history.items) > 1
    assert history.timestamps[-1] == START + 6 * DAY + 5


def test_another_process_sees_what_was_materialised(
    store: OnlineStore, built: Built, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from features.online import OnlineStore; "
        "from base.settings import Settings; "
        "OnlineStore(Settings(home=Path(sys.argv[1]))).materialise(Path(sys.argv[2]))"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path), str(built.features)]
    subprocess.run(arguments, check=True, capture_output=True)
    assert store.snapshot() == START + 6 * DAY
    assert store.read(["u1"], built.catalogue, LENGTH).histories.lengths[0] > 0


def as_requests(
    rows: UserRows, store: OnlineStore, built: Built, users: list[str], times: list[int]
) -> Requests:
    return rows.requests(users, times, store.read_items(built.catalogue)[None])


def live_rows(built: Built, time: int) -> dict[str, UserHistory]:
    """The history that the service would push at `time`: events received since the snapshot."""
    events = pq.read_table(built.whole / "split/events.parquet").to_pylist()
    hides = pq.read_table(built.whole / "split/hidden.parquet").to_pylist()
    users = pq.read_table(built.whole / "split/users.parquet")["user_id"].to_pylist()
    items = pq.read_table(built.whole / "split/items.parquet")["item_id"].to_pylist()

    def fresh(rows: list[dict[str, int]], user: int) -> list[dict[str, int]]:
        return [
            row
            for row in rows
            if row["user"] == user and row["timestamp"] < time and row["received_at"] <= time
        ]

    assert all(row["event_type"] in {EVENT_CODES[name] for name in POSITIVE} for row in events)
    return {
        user_id: UserHistory(
            items=[items[row["item"]] for row in fresh(events, user)],
            event_types=[row["event_type"] for row in fresh(events, user)],
            timestamps=[row["timestamp"] for row in fresh(events, user)],
            hidden=[items[row["item"]] for row in fresh(hides, user)],
        )
        for user, user_id in enumerate(users)
    }


def test_served_values_equal_the_offline_values_of_the_same_moment(
    store: OnlineStore, built: Built
) -> None:
    store.materialise(built.features)
    time = START + 6 * DAY + 600 * MINUTE
    live = live_rows(built, time)
    store.push_history(live, time)
    users = list(live)
    times = [time] * len(users)
    served = as_requests(store.read(users, built.catalogue, LENGTH), store, built, users, times)
    offline = offline_requests(built.whole / "split", built.whole / "features", users, times)
    parts = user_parts(served, offline)
    assert set(parts) == {"user_features", "impressed", "history", "hidden"}
    assert not any(differs.any() for differs in parts.values())
    np.testing.assert_allclose(served.item_features[0], offline.item_features[0], rtol=1e-6)
    # and it would have been noticed: without the pushes, some histories are behind
    stale = OnlineStore(Settings(home=store.root.parent))
    stale.push_history({user: UserHistory(["i1"], [1], [START]) for user in users[:3]}, time)
    behind = as_requests(stale.read(users, built.catalogue, LENGTH), stale, built, users, times)
    assert user_parts(behind, offline)["history"].sum() >= 3


@pytest.mark.servers
def test_redis_holds_the_same_rows(store: OnlineStore, built: Built, tmp_path: Path) -> None:
    url = os.environ.get("RONDO_TEST_REDIS_URL")
    if not url:
        pytest.skip("set RONDO_TEST_REDIS_URL=host:port to test on a Redis")
    host, port = url.split(",")[0].rsplit(":", 1)
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError as error:
        pytest.skip(f"no Redis at {url}: {error}")
    redis = OnlineStore(Settings(home=tmp_path / "redis", redis_url=SecretStr(url)))
    redis.materialise(built.features)
    store.materialise(built.features)
    click = UserHistory(["i3"], [EVENT_CODES["click"]], [START + 6 * DAY + 5])
    for each in (redis, store):
        each.push_history({"u1": click}, START + 6 * DAY + 6)
    a, b = (each.read(["u1", "u2"], built.catalogue, LENGTH) for each in (redis, store))
    assert np.array_equal(a.user_features, b.user_features, equal_nan=True)
    assert a.histories.timestamps.tolist() == b.histories.timestamps.tolist()
    assert redis.snapshot() == store.snapshot()


def test_feast_apply_registers_the_repository(checkout: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "feast").mkdir(parents=True)
    environment = {**os.environ, "RONDO_HOME": str(home), "PYTHONPATH": str(checkout)}
    feast = Path(sys.executable).with_name("feast")
    repository = checkout / "features/repo"
    for command in ("apply", "feature-services list"):
        result = subprocess.run(
            [str(feast), *command.split()],
            cwd=repository,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
    assert "transformer" in result.stdout
    assert "trees" in result.stdout
