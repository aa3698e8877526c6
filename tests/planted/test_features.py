"""Features that are not what they should be, in training and in what was served."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.batch.aggregate import aggregate
from features.requests.user_rows import UserRows
from features.schema import DAY, USER_FEATURES
from flows.rollout import CHANNEL
from flows.workspace import Workspace
from serving import channels
from serving.live import Live, empty, with_features, with_release
from serving.release import Release
from tests.features.logs import at
from tests.flows.rivals import USERS, YESTERDAY, Rivals
from tests.flows.test_serving_parity import NOON, Served, filled
from tests.planted.runs import WARNINGS, Installation, Tally, against, copy, release, train

pytestmark = [pytest.mark.slow, *WARNINGS]


@pytest.fixture
def place(rivals: Rivals, tmp_path: Path) -> Workspace:
    return copy(rivals.equal, tmp_path / "place")


def altered(path: Path, shift: int) -> None:
    """Move the events in the file `path` by so many µs."""
    table = pq.read_table(path)
    for name in ("timestamp", "received_at"):
        column = pa.array(table[name].to_numpy() + shift, table.schema.field(name).type)
        table = table.set_column(table.schema.get_field_index(name), name, column)
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("plant", "shift", "words"),
    [
        ("future leakage", -DAY, "features of requests 228 of 228"),
        ("stale features", DAY, "features of requests 228 of 228"),
    ],
)
def test_aggregates_of_the_wrong_day(
    empty_home: Installation, place: Workspace, tmp_path: Path, tally: Tally,
    plant: str, shift: int, words: str,
) -> None:  # fmt: skip
    """They are computed as if everything had happened a day earlier, and so count the day that is
    to be foretold, or a day later, and so miss the last one."""
    moved, features = tmp_path / "moved", place.root / "data" / "features"
    shutil.copytree(place.root / "data" / "split", moved)
    altered(moved / "events.parquet", shift)
    shutil.rmtree(features)
    features.mkdir()
    aggregate(moved, features)
    train(place)
    release(place)
    judgement = empty_home.judge(place)
    found = tally.verdict(plant, judgement, "data.point_in_time", words)
    assert "such as user_events_" in found.reason
    assert against(judgement) == ["data.point_in_time"]


@pytest.fixture
def served(installation: Installation, rivals: Rivals, tmp_path: Path) -> Served:
    """The champion as it served today's first half."""
    rollout = installation.rollout
    store = filled(rivals.champion, tmp_path / "online", at(YESTERDAY), NOON)
    vars(rollout)["online"] = store
    champion = channels.read(rollout.engine, CHANNEL)
    assert champion is not None
    opened = Release.open(rollout.fetch(champion.release))
    live = with_features(with_release(empty(), opened, None), store)
    return Served(rollout, rivals, live, "")


def as_it_is(served: Served, _: Path, __: pytest.MonkeyPatch) -> Live:
    return served.live


def stale(served: Served, folder: Path, _: pytest.MonkeyPatch) -> Live:
    """The store was last filled two days earlier than it says."""
    store = filled(served.rivals.champion, folder, at(YESTERDAY - 2), NOON)
    vars(served.rollout)["online"] = store
    return replace(with_features(served.live, store), features_at=served.live.features_at)


def skewed(served: Served, _: Path, patch: pytest.MonkeyPatch) -> Live:
    """One feature of users is in another unit where it is served."""
    online, read = served.rollout.online, served.rollout.online.read
    place = USER_FEATURES.index("user_events_30d")

    def wrong(*arguments: object) -> UserRows:
        rows: UserRows = read(*arguments)  # type: ignore[arg-type]
        values = rows.user_features.copy()
        values[:, place] *= np.float32(100)
        return rows._replace(user_features=values)

    patch.setattr(online, "read", wrong)
    return served.live


@pytest.mark.parametrize(
    ("plant", "serve"),
    [
        ("", as_it_is),
        ("stale features", stale),
        ("train/serve skew in one feature", skewed),
    ],
)
def test_features_that_were_served_otherwise_than_trained(
    served: Served, installation: Installation, place: Workspace, tmp_path: Path, tally: Tally,
    monkeypatch: pytest.MonkeyPatch, plant: str,
    serve: Callable[[Served, Path, pytest.MonkeyPatch], Live],
) -> None:  # fmt: skip
    served.recommend(serve(served, tmp_path / "other", monkeypatch))
    judgement = installation.judge(place)
    if not plant:
        assert judgement.verdict.decision == "promote", judgement.verdict.reasons
        return
    words = f"user_features {USERS} of {USERS}"
    tally.verdict(plant, judgement, "serving.parity", words, "such as request")
