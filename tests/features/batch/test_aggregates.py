"""Daily aggregates and point-in-time joins, against loops over plain rows."""

from collections import Counter
from pathlib import Path
from typing import Any

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base.quiet import quiet
from features.batch.aggregate import aggregate
from features.batch.aggregates import item_activity, user_activity
from features.batch.asof import asof_join
from features.batch.joins import feast_join, users_at
from features.batch.snapshots import Snapshots
from features.requests.training_set import load_queries
from features.schema import DAY, ITEM_FEATURES, TIMESTAMP, USER_FEATURES
from features.splits.split import split
from features.splits.windowing import SplitParams
from features.splits.windows import Windows
from tests.features.logs import START, at, event, item, random_log, write_log


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `log`, `split` and `features`."""
    root = tmp_path_factory.mktemp("built")
    for name in ("split", "features"):
        (root / name).mkdir()
    split(random_log(root / "log"), root / "split", SplitParams(min_targets=20), False)
    aggregate(root / "split", root / "features")
    return root


def rows(path: Path) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return result


def counted(table: list[dict[str, Any]], snapshot: int, days: int) -> list[dict[str, Any]]:
    return [
        row
        for row in table
        if snapshot - days * DAY <= row["timestamp"] < snapshot and row["received_at"] < snapshot
    ]


def newest(rows: dict[tuple[str, int], dict[str, Any]], key: str, time: int) -> dict[str, Any]:
    """The row of `key` that holds at `time`."""
    return rows[max(place for place in rows if place[0] == key and place[1] <= time)]


def micros(row: dict[str, Any]) -> int:
    return round(row["event_timestamp"].timestamp() * 1_000_000)


def test_snapshots_cover_every_query_and_end_after_the_log(built: Path) -> None:
    windows = Windows.read(built / "split" / "windows.json")
    snapshots = Snapshots.read(built / "features")
    assert snapshots == Snapshots.of(windows)
    assert windows.fit_end - DAY < snapshots.first <= windows.fit_end
    assert windows.judge_end < snapshots.last <= windows.judge_end + DAY
    assert snapshots.first % DAY == snapshots.last % DAY == 0
    midnight = snapshots.first + DAY
    times = np.array([snapshots.first, midnight - 1, midnight, snapshots.last + 9 * DAY])
    assert snapshots.held(times).tolist() == [snapshots.first] * 2 + [midnight, snapshots.last]


def test_item_features_count_what_had_happened_and_was_known(built: Path) -> None:
    events = rows(built / "split/events.parquet")
    impressions = rows(built / "split/impressions.parquet")
    ids = [row["item_id"] for row in rows(built / "split/items.parquet")]
    found = {(r["item_id"], micros(r)): r for r in rows(built / "features/item_activity.parquet")}
    assert found
    for (item_id, snapshot), row in found.items():
        mine = [e for e in events if ids[e["item"]] == item_id and not e["capped"]]
        shown = [e for e in impressions if ids[e["item"]] == item_id]
        week = counted(mine, snapshot, 7)
        for days in (1, 3, 7, 30):
            assert row[f"item_events_{days}d"] == len(counted(mine, snapshot, days))
        assert row["item_users_7d"] == len({e["user"] for e in week})
        assert row["item_impressions_7d"] == len(counted(shown, snapshot, 7))
        clicks = len({e["request_id"] for e in week if e["request_id"]})
        assert row["item_clicks_7d"] == clicks
        expected = (clicks + 1) / (row["item_impressions_7d"] + 20)
        assert row["item_ctr_7d"] == pytest.approx(expected)


def test_user_features_count_what_had_happened_and_was_known(built: Path) -> None:
    events = rows(built / "split/events.parquet")
    impressions = rows(built / "split/impressions.parquet")
    ids = [row["user_id"] for row in rows(built / "split/users.parquet")]
    items = rows(built / "split/items.parquet")
    found = {(r["user_id"], micros(r)): r for r in rows(built / "features/user_activity.parquet")}
    assert found
    for (user_id, snapshot), row in found.items():
        mine = [e for e in events if ids[e["user"]] == user_id]
        shown = counted([e for e in impressions if ids[e["user"]] == user_id], snapshot, 7)
        month = counted(mine, snapshot, 30)
        for days in (1, 7, 30):
            assert row[f"user_events_{days}d"] == len(counted(mine, snapshot, days))
        slots = {
            (e["request_id"], e["item"]) for e in counted(mine, snapshot, 7) if e["request_id"]
        }
        assert row["user_clicks_7d"] == len(slots)
        assert row["user_impressions_7d"] == len(shown)
        counts = Counter(items[e["item"]]["item_id"] for e in shown)
        assert (
            dict(zip(row["impressed_items"] or [], row["impressed_counts"] or [], strict=True))
            == counts
        )
        if month:
            mean = sum(items[e["item"]]["price"] for e in month) / len(month)
            assert row["user_mean_price_30d"] == pytest.approx(mean)
        else:
            assert row["user_mean_price_30d"] is None


def test_a_query_takes_the_last_snapshot_before_it(built: Path) -> None:
    activity = {
        (r["user_id"], micros(r)): r for r in rows(built / "features/user_activity.parquet")
    }
    items = {(r["item_id"], micros(r)): r for r in rows(built / "features/item_activity.parquet")}
    item_ids = [row["item_id"] for row in rows(built / "split/items.parquet")]
    queries = load_queries(built / "split", built / "features", "judge", "organic").requests
    assert len(queries) > 10
    for row in range(len(queries)):
        midnight = int(queries.timestamps[row]) // DAY * DAY
        expected = newest(activity, queries.user_ids[row], midnight)
        for column, name in enumerate(USER_FEATURES):
            if expected[name] is not None:
                assert queries.user_features[row, column] == pytest.approx(expected[name])
        table = queries.item_features[queries.snapshot[row]]
        for place, item_id in enumerate(item_ids):
            values = newest(items, item_id, midnight)
            assert table[place].tolist() == pytest.approx([values[n] for n in ITEM_FEATURES])


def late_source(path: Path) -> Path:
    """Snapshots of two users, one of them recomputed (known) late."""
    moments = [(1, 1), (2, 2), (1, 4), (3, 6), (5, 5)]
    table = pa.table(
        {
            "user_id": ["a"] * 5 + ["b"] * 5,
            **{
                name: pa.array(range(place, place + 10), pa.int64())
                for place, name in enumerate(USER_FEATURES[:-1])
            },
            USER_FEATURES[-1]: pa.array([float(n) for n in range(10)]),
            "impressed_items": [["x"]] * 10,
            "impressed_counts": [[1]] * 10,
            "event_timestamp": pa.array([e * DAY for e, _ in moments] * 2, pa.int64()).cast(
                TIMESTAMP
            ),
            "created_timestamp": pa.array([c * DAY for _, c in moments] * 2, pa.int64()).cast(
                TIMESTAMP
            ),
        }
    )
    pq.write_table(table, path)
    return path


def test_feast_and_our_join_agree_as_known_then(tmp_path: Path) -> None:
    source = late_source(tmp_path / "user_activity.parquet")
    asked = [(user, half * DAY // 2) for user in ("a", "b", "nobody") for half in range(16)]
    entities = pa.table(
        {
            "row": pa.array(range(len(asked)), pa.int64()),
            "user_id": [user for user, _ in asked],
            "event_timestamp": pa.array([t for _, t in asked], pa.int64()).cast(TIMESTAMP),
        }
    )
    names = [*USER_FEATURES, "impressed_items"]
    ours = asof_join(entities, source, "user_id", names)
    feasts = feast_join(entities, tmp_path, "user_activity", tuple(names))
    assert ours.to_pylist() == feasts.to_pylist()
    # By hand: at day 4 the recomputed day-1 row does not displace day 2; day 3 was known on day 6.
    value = dict(zip(asked, ours[USER_FEATURES[0]].to_pylist(), strict=True))
    assert value["a", DAY // 2] is None
    assert [value["a", day * DAY] for day in (1, 2, 4, 5, 6)] == [0, 1, 1, 4, 4]


def test_both_joins_give_the_same_training_rows(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = pq.read_table(built / "split/queries.parquet")
    users = pq.read_table(built / "split/users.parquet")["user_id"].take(queries["user"])
    feasts = pq.read_table(built / "features/query_users.parquet")
    monkeypatch.setattr("features.batch.joins.point_in_time.__defaults__", (0,))
    ours = users_at(users, queries["timestamp"], built / "features")
    assert ours.num_rows > 20
    assert ours.to_pylist() == feasts.to_pylist()


@quiet()
def test_the_definitions_compile_for_another_engine() -> None:
    events = ibis.table(
        {
            "user": "int32",
            "item": "int32",
            "timestamp": "int64",
            "received_at": "int64",
            "request_id": "string",
            "set_aside_from": "int64",
            "capped": "boolean",
        },
        name="events",
    )
    impressions = ibis.table(events.schema(), name="impressions")
    prices = ibis.table(
        {"item": "int32", "received_at": "int64", "price": "float64"}, name="prices"
    )
    items = ibis.table({"item": "int32", "item_id": "string"}, name="items")
    for expression in (
        user_activity(events, impressions, prices, items, 0, 9),
        item_activity(events, impressions, 0, 9),
    ):
        for dialect in ("postgres", "trino"):
            assert "GROUP BY" in str(ibis.to_sql(expression, dialect=dialect))


def test_the_same_split_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    aggregate(built / "split", tmp_path)
    for path in sorted(tmp_path.iterdir()):
        assert path.read_bytes() == (built / "features" / path.name).read_bytes(), path.name


def test_batch_histories_hold_everything_known_at_the_last_snapshot(built: Path) -> None:
    events = rows(built / "split/events.parquet")
    ids = [row["user_id"] for row in rows(built / "split/users.parquet")]
    last = Snapshots.read(built / "features").last
    for row in rows(built / "features/user_history.parquet"):
        mine = [
            e["timestamp"]
            for e in counted(events, last, 10_000)
            if ids[e["user"]] == row["user_id"]
        ]
        assert row["timestamps"] == mine[-200:]


def test_the_mean_price_takes_prices_known_at_the_snapshot(tmp_path: Path) -> None:
    events = [event(f"e{day}", "u", "i0", at(day, 12)) for day in range(8)]
    prices = [item("i0", at(0), price=10.0), item("i0", at(7, 6), price=90.0)]
    log = write_log(tmp_path / "log", events, prices)
    for name in ("split", "features"):
        (tmp_path / name).mkdir()
    split(log, tmp_path / "split", SplitParams(min_targets=1), True)
    aggregate(tmp_path / "split", tmp_path / "features")
    found = rows(tmp_path / "features/user_activity.parquet")
    means = {(micros(row) - START) // DAY: row["user_mean_price_30d"] for row in found}
    assert means == {5: 10.0, 6: 10.0, 7: 10.0, 8: 90.0}


def gap_log(folder: Path, gap: int = 5 * 365) -> Path:
    """Events, late arrivals, slates and new prices by two users on days 0 to 9 and, after `gap`
    days, for ten more."""
    rows, prices = [], [item(f"i{n}", at(0), price=float(n)) for n in range(5)]
    for first in (0, gap):
        for number in range(20):
            time = at(first, 11.0 * number)
            slot = {"request_id": f"r{time}", "position": 0, "propensity": 0.5}
            late = DAY * (number % 5 == 3) * 4
            user, thing = f"u{number % 2}", f"i{number % 5}"
            rows += [
                event(f"s{time}", user, thing, time, event_type="impression", **slot),
                event(f"c{time}", user, thing, time + 5, received_at=time + 5 + late, **slot),
                event(f"o{time}", f"o{number % 3}", thing, time),
            ]
            prices.append(item(thing, time, price=float(number)))
    prices += [item("i1", at(day), price=float(day)) for day in range(40, gap, 7)]
    return write_log(folder, rows, prices)


def test_a_gap_of_years_costs_no_rows(tmp_path: Path) -> None:
    """The rank and judge windows reach over the gap: both its sides are asked for."""
    for name in ("split", "features"):
        (tmp_path / name).mkdir()
    split(gap_log(tmp_path / "log"), tmp_path / "split", SplitParams(min_targets=13), True)
    aggregate(tmp_path / "split", tmp_path / "features")
    windows = Windows.read(tmp_path / "split/windows.json")
    assert windows.judge_end - windows.fit_end > 5 * 364 * DAY
    changed = {"user_activity": 5 * 60, "item_activity": 5 * 60, "item_snapshots": 5 * 20}
    for name, most in changed.items():
        count = pq.read_metadata(tmp_path / "features" / f"{name}.parquet").num_rows
        assert 0 < count < most, name


def test_the_first_query_after_a_gap_does_not_see_the_counts_from_before_it(tmp_path: Path) -> None:
    for name in ("split", "features"):
        (tmp_path / name).mkdir()
    split(gap_log(tmp_path / "log"), tmp_path / "split", SplitParams(min_targets=13), True)
    aggregate(tmp_path / "split", tmp_path / "features")
    requests = load_queries(tmp_path / "split", tmp_path / "features", "rank", "organic").requests
    gap_end = at(5 * 365)
    queries = load_queries(tmp_path / "split", tmp_path / "features", "judge", "organic").requests
    both = [(r, row) for r in (requests, queries) for row in range(len(r))]
    before = [(r, row) for r, row in both if r.timestamps[row] < gap_end]
    first, row = min(
        ((r, row) for r, row in both if r.timestamps[row] >= gap_end),
        key=lambda pair: int(pair[0].timestamps[pair[1]]),
    )
    counts = [ITEM_FEATURES.index(f"item_events_{days}d") for days in (1, 3, 7, 30)]
    assert any(r.item_features[r.snapshot[row]][:, counts].sum() > 0 for r, row in before)
    assert first.item_features[first.snapshot[row]][:, counts].sum() == 0
    assert first.user_features[row, :5].sum() == 0
