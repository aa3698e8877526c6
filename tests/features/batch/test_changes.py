"""Daily aggregates stored as changes, against a direct definition: a loop over rows that counts
each row at every midnight."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.batch.activity import write_activity
from features.batch.joins import items_at
from features.batch.snapshots import Snapshots
from features.requests.training_set import queries_at
from features.schema import DAY, HOUR, ITEM_FEATURES, USER_FEATURES
from features.splits.split import split
from features.splits.windowing import SplitParams
from features.splits.windows import Windows
from tests.features.logs import at, event, item, write_log

SEEDS = (1, 2, 3)
Row = dict[str, Any]


def made_log(folder: Path, seed: int) -> Path:
    """Bursts with gaps of up to months between them; rows on the stroke of midnight and at one
    moment; rows known days and weeks late; one slot clicked twice; prices that change while they
    count, twice a day too, and become known out of order."""
    random = np.random.default_rng(seed)
    starts = np.cumsum(random.choice([1, 2, 4, 8, 29, 31, 70], size=9))
    rows: list[Row] = []
    for start in starts:
        for number in range(14):
            hour = float(random.choice([0.0, 0.0, 9.5, 23.99, 24.0, random.random() * 72]))
            time = at(int(start), hour)
            user, thing = f"u{random.integers(5)}", f"i{random.integers(6)}"
            late = int(random.choice([0, 0, 0, HOUR, DAY, 6 * DAY, 8 * DAY, 33 * DAY]))
            known = {"received_at": time + late}
            name = f"{start}:{number}"
            rows.append(event(f"o{name}", user, thing, time, **known))
            slot = {"request_id": f"r{name}", "position": 0, "propensity": 0.5}
            rows.append(event(f"s{name}", user, thing, time, event_type="impression", **slot))
            if number % 2:
                rows.append(event(f"c{name}", user, thing, time + 1, **slot, **known))
                rows.append(event(f"d{name}", user, thing, time + 3 * DAY, **slot))
    things = [item(f"i{n}", at(0), price=1.0 + n if n < 4 else None) for n in range(6)]
    for day in random.integers(1, starts[-1] + 5, size=40):
        price = round(float(random.random()) * 10, 2)
        things.append(item(f"i{random.integers(5)}", at(int(day), float(day % 24)), price=price))
    return write_log(folder, rows, things)


@pytest.fixture(scope="module", params=SEEDS)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `split` and `features` of a made log, whose windows reach far back."""
    root = tmp_path_factory.mktemp("changes")
    for name in ("split", "features"):
        (root / name).mkdir()
    log = made_log(root / "log", request.param)
    split(log, root / "split", SplitParams(min_targets=40), True)
    snapshots = Snapshots.of(Windows.read(root / "split/windows.json"))
    snapshots.write(root / "features")
    write_activity(root / "split", root / "features", snapshots)
    return root


def rows_of(path: Path) -> list[Row]:
    found: list[Row] = pq.read_table(path).to_pylist()
    return found


class Dense:
    """The direct definition: every row at every midnight."""

    def __init__(self, folder: Path) -> None:
        names = ("events", "impressions", "prices", "users", "items")
        self.events, self.impressions, self.prices, users, items = (
            rows_of(folder / f"{name}.parquet") for name in names
        )
        self.ids = {
            "user": [row["user_id"] for row in users],
            "item": [row["item_id"] for row in items],
        }

    def known(self, key: str, index: int, midnight: int) -> bool:
        return any(
            row[key] == index and max(row["timestamp"], row["received_at"]) < midnight
            for row in (*self.events, *self.impressions)
        )

    def window(self, table: list[Row], key: str, index: int, midnight: int, days: int) -> list[Row]:
        return [
            row
            for row in table
            if row[key] == index
            and midnight - days * DAY <= row["timestamp"] < midnight
            and row["received_at"] < midnight
        ]

    def counted(self, table: list[Row], index: int, midnight: int, days: int) -> list[Row]:
        """Without capped events, and without users who are set aside at that midnight."""
        return [
            row
            for row in self.window(table, "item", index, midnight, days)
            if not row.get("capped")
            and (row["set_aside_from"] is None or midnight < row["set_aside_from"])
        ]

    def item(self, index: int, midnight: int) -> Row:
        found: Row = {
            f"item_events_{days}d": len(self.counted(self.events, index, midnight, days))
            for days in (1, 3, 7, 30)
        }
        week = self.counted(self.events, index, midnight, 7)
        shown = len(self.counted(self.impressions, index, midnight, 7))
        clicks = len({row["request_id"] for row in week if row["request_id"]})
        return found | {
            "item_users_7d": len({row["user"] for row in week}),
            "item_impressions_7d": shown,
            "item_clicks_7d": clicks,
            "item_ctr_7d": (clicks + 1.0) / (shown + 20.0),
        }

    def price(self, index: int, midnight: int) -> float | None:
        known = [
            row for row in self.prices if row["item"] == index and row["received_at"] < midnight
        ]
        return max(known, key=lambda row: row["received_at"])["price"] if known else None

    def user(self, index: int, midnight: int) -> Row:
        found: Row = {
            f"user_events_{days}d": len(self.window(self.events, "user", index, midnight, days))
            for days in (1, 7, 30)
        }
        week = self.window(self.events, "user", index, midnight, 7)
        shown = self.window(self.impressions, "user", index, midnight, 7)
        month = self.window(self.events, "user", index, midnight, 30)
        prices = [self.price(row["item"], midnight) for row in month]
        priced = [price for price in prices if price is not None]
        counts = {i: sum(row["item"] == i for row in shown) for i in {row["item"] for row in shown}}
        return found | {
            "user_impressions_7d": len(shown),
            "user_clicks_7d": len(
                {(row["request_id"], row["item"]) for row in week if row["request_id"]}
            ),
            "user_mean_price_30d": sum(priced) / len(priced) if priced else None,
            "impressed_items": [self.ids["item"][i] for i in sorted(counts)] or None,
            "impressed_counts": [counts[i] for i in sorted(counts)] or None,
        }


def newest(path: Path, key: str) -> dict[str, list[tuple[int, Row]]]:
    """The newest row of each id, with its time in µs, in order."""
    found: dict[str, list[tuple[int, Row]]] = {}
    for row in rows_of(path):
        time = round(row.pop("event_timestamp").timestamp() * 1_000_000)
        assert round(row.pop("created_timestamp").timestamp() * 1_000_000) == time
        found.setdefault(row.pop(key), []).append((time, row))
    for rows in found.values():
        times = [time for time, _ in rows]
        assert times == sorted(set(times)), "two rows of one moment, or out of order"
    return found


@pytest.mark.parametrize("key", ["user", "item"])
def test_the_newest_row_at_any_midnight_holds_what_a_daily_table_would(
    built: Path, key: str
) -> None:
    dense, snapshots = Dense(built / "split"), Snapshots.read(built / "features")
    rows = newest(built / "features" / f"{key}_activity.parquet", f"{key}_id")
    midnights = range(snapshots.first, snapshots.last + DAY, DAY)
    assert len(midnights) > 50
    assert sum(map(len, rows.values())) < len(midnights) * len(rows), "not sparse"
    for index, identity in enumerate(dense.ids[key]):
        for midnight in midnights:
            before = [row for time, row in rows.get(identity, []) if time <= midnight]
            assert bool(before) == dense.known(key, index, midnight), (identity, midnight)
            if before:
                expected = (
                    dense.user(index, midnight) if key == "user" else dense.item(index, midnight)
                )
                mean = expected.pop("user_mean_price_30d", None)
                found = dict(before[-1])
                assert found.pop("user_mean_price_30d", None) == (
                    mean and pytest.approx(mean, rel=1e-14)
                )
                assert found == expected, (identity, (midnight - snapshots.first) // DAY)


def test_a_request_reads_what_a_daily_table_would_give_it(built: Path) -> None:
    dense, snapshots = Dense(built / "split"), Snapshots.read(built / "features")
    random = np.random.default_rng(7)
    times = np.sort(random.integers(snapshots.first, snapshots.last + 3 * DAY, size=40))
    times[:2] = snapshots.first, snapshots.first + 5 * DAY
    asked = pa.table(
        {
            "query": np.arange(40),
            "user": np.zeros(40, dtype=np.int32),
            "timestamp": times,
            "targets": pa.array([[]] * 40, pa.list_(pa.int32())),
            "shown": pa.array([[]] * 40, pa.list_(pa.int32())),
        }
    )
    nobody = pa.table(
        {
            "query": np.arange(40),
            **dict.fromkeys(USER_FEATURES, pa.nulls(40, pa.float64())),
            "impressed_items": pa.nulls(40, pa.list_(pa.string())),
            "impressed_counts": pa.nulls(40, pa.list_(pa.int64())),
        }
    )
    item_ids = pq.read_table(built / "split/items.parquet")["item_id"]
    items = items_at(item_ids, np.unique(snapshots.held(times)), built / "features")
    requests = queries_at(built / "split", built / "features", asked, nobody, items).requests
    for row, time in enumerate(times):
        midnight = min(time // DAY * DAY, snapshots.last)
        expected = [
            [dense.item(index, midnight)[name] for name in ITEM_FEATURES]
            if dense.known("item", index, midnight)
            else [np.nan] * len(ITEM_FEATURES)
            for index in range(len(item_ids))
        ]
        whole = requests.item_features[requests.snapshot[row]]
        np.testing.assert_array_equal(whole, np.array(expected, dtype=np.float32))
        pairs = requests.item_features[requests.snapshot[[row]][:, None], np.array([[3, 0, 3]])]
        np.testing.assert_array_equal(pairs[0], whole[[3, 0, 3]])
