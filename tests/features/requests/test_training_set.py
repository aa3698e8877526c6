"""Requests as arrays, against a loop that a reader can check."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.batch.snapshots import Snapshots
from features.ragged import offsets_of
from features.requests.training_set import Timeline, build_queries, impressed_rows
from features.splits.split import split
from features.splits.windowing import SplitParams
from tests.features.logs import random_log


def visible(
    events: list[dict[str, int]], user: int, timestamp: int, count: int
) -> list[tuple[int, int]]:
    """Strictly earlier and already received, the newest `count`: by hand."""
    seen = [
        (row["timestamp"], place)
        for place, row in enumerate(events)
        if row["user"] == user and row["timestamp"] < timestamp and row["received_at"] <= timestamp
    ]
    return sorted(seen)[-count:]


@pytest.mark.parametrize("count", [1, 3, 50])
def test_a_history_holds_what_had_happened_and_was_known(count: int) -> None:
    rng = np.random.default_rng(3)
    users = np.sort(rng.integers(0, 5, 200))
    timestamps = rng.integers(0, 60, 200)
    order = np.lexsort((timestamps, users))
    users, timestamps = users[order], timestamps[order]
    received = timestamps + np.where(rng.random(200) < 0.3, rng.integers(0, 30, 200), 0)
    asked = rng.integers(0, 6, 80)  # user 5 has no events
    moments = rng.integers(0, 70, 80)
    rows, offsets = Timeline(users, timestamps, received).before(asked, moments, count)
    events = [
        {"user": int(u), "timestamp": int(t), "received_at": int(r)}
        for u, t, r in zip(users, timestamps, received, strict=True)
    ]
    expected = [visible(events, int(u), int(t), count) for u, t in zip(asked, moments, strict=True)]
    assert offsets.tolist() == offsets_of([len(row) for row in expected]).tolist()
    assert rows.tolist() == [place for row in expected for _, place in row]


def test_an_event_at_the_moment_of_the_request_is_not_in_its_history() -> None:
    line = Timeline(np.array([0, 0]), np.array([5, 7]), np.array([5, 7]))
    rows, _ = line.before(np.array([0]), np.array([7]), 10)
    assert rows.tolist() == [0]


def test_impressed_items_outside_the_catalogue_are_left_out() -> None:
    users = pa.table(
        {
            "impressed_items": pa.array([["b", "gone"], None, ["a"]], pa.list_(pa.string())),
            "impressed_counts": pa.array([[2, 9], None, [1]], pa.list_(pa.int64())),
        }
    )
    impressed, counts = impressed_rows(users, pa.chunked_array([["a", "b"]]))
    assert [impressed[row].tolist() for row in range(3)] == [[1], [], [0]]
    assert counts.tolist() == [2.0, 1.0]


def test_a_query_before_the_first_snapshot_is_refused(tmp_path: Path) -> None:
    (tmp_path / "split").mkdir()
    split(random_log(tmp_path / "log"), tmp_path / "split", SplitParams(min_targets=5), False)
    read = {p.stem: pq.read_table(p) for p in (tmp_path / "split").glob("*.parquet")}
    end = json.loads((tmp_path / "split" / "windows.json").read_text())["judge_end"]
    with pytest.raises(ValueError, match="before the first snapshot"):
        build_queries(
            queries=read["queries"],
            events=read["events"],
            hidden=read["hidden"],
            user_ids=np.array(read["users"]["user_id"].to_pylist(), dtype=object),
            item_ids=read["items"]["item_id"],
            query_users=pa.table(
                {
                    "query": read["queries"]["query"],
                    "impressed_items": pa.nulls(read["queries"].num_rows, pa.list_(pa.string())),
                    "impressed_counts": pa.nulls(read["queries"].num_rows, pa.list_(pa.int64())),
                }
            ),
            query_items=pa.table({"snapshot": pa.array([], pa.int64())}),
            snapshots=Snapshots(end, end),
            history_length=10,
        )


def test_a_query_without_its_user_row_is_refused() -> None:
    empty = pa.table({"query": pa.array([], pa.int64())})
    times = {name: pa.array([], pa.int64()) for name in ("user", "timestamp", "received_at")}
    events = pa.table({**times, "item": times["user"], "event_type": times["user"]})
    queries = pa.table({"query": [0], "user": [0], "timestamp": [5]})
    with pytest.raises(ValueError, match="no row in query_users"):
        build_queries(
            queries=queries,
            events=events,
            hidden=events,
            user_ids=np.array(["u"], dtype=object),
            item_ids=pa.chunked_array([["a"]]),
            query_users=empty,
            query_items=empty,
            snapshots=Snapshots(0, 0),
            history_length=10,
        )
