"""A generated source of events and items that resembles real ones.

It has popular items and very active users, days without events, items that arrive later, changing
prices, rows known late, and slates.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from base.arrays import Float64s, Int64s
from features.schema import DAY, EVENT, HOUR, ITEM, TIMESTAMP, EventType

START: Final = 11_574 * DAY
CHUNK: Final = 500_000
"""Rows generated at a time."""

EVENTS_OF_USER: Final = 50
SILENT: Final = 0.3
"""Share of days without events, besides one gap of a tenth of the time."""

FIRST_ITEMS: Final = 0.5
"""Share of the items that exist from the beginning."""

SLATE: Final = 5
SLATES: Final = 0.2
"""Share of rows that are impressions and clicks on slates of SLATE items."""

LATE: Final = 0.02
CATEGORIES: Final = 30
SPREAD: Final = 7919
"""A prime, which spreads popular items over the catalogue."""


@dataclass(frozen=True)
class Size:
    """The size of a log: number of events, number of items, days from the first to the last
    event."""

    events: int
    items: int
    days: int


def write(folder: Path, size: Size, seed: int) -> None:
    """Write `events.parquet` and `items.parquet` to `folder`, with columns as in
    `features.schema`."""
    random = np.random.default_rng(seed)
    days = _busy_days(size.days, random)
    folder.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(folder / "events.parquet", EVENT) as file:
        for first in range(0, size.events, CHUNK):
            count = min(CHUNK, size.events - first)
            file.write_table(_events(first, count, size, days, random))
    with pq.ParquetWriter(folder / "items.parquet", ITEM) as file:
        for first in range(0, size.items, CHUNK):
            ids = np.arange(first, min(first + CHUNK, size.items))
            for table in _items(ids, size, random):
                file.write_table(table)


def _busy_days(days: int, random: np.random.Generator) -> Float64s:
    """The cumulative share of events by the end of each day, float64 [days]."""
    weights = random.lognormal(sigma=0.7, size=days) * (random.random(days) >= SILENT)
    gap = int(random.integers(days // 4, days // 2 + 1))
    weights[gap : gap + days // 10] = 0.0
    weights[[0, -1]] = max(weights.mean(), 1e-9)  # windows of one day have events
    if days > 1:
        weights[-2] = weights[-1]
    shares: Float64s = np.cumsum(weights) / weights.sum()
    return shares


def _events(
    first: int,
    count: int,
    size: Size,
    days: Float64s,
    random: np.random.Generator,
) -> pa.Table:
    """Rows `first` to `first + count` of the log, in the order of days."""
    places = (first + np.arange(count)) / size.events
    day = np.minimum(np.searchsorted(days, places, side="right"), size.days - 1)
    times = START + day * DAY + random.integers(0, DAY, size=count)
    users = _users(day, size, random)
    items = _popular(times, size, random)
    types = np.full(count, str(EventType.VIEW), dtype=object)
    types[random.random(count) < 0.1] = str(EventType.PURCHASE)
    requests = np.full(count, None, dtype=object)
    positions = np.full(count, -1)
    slates = np.arange(0, int(count * SLATES) // (SLATE + 1)) * (SLATE + 1)
    for place in range(SLATE + 1):
        rows = slates + place
        shown = place < SLATE
        requests[rows] = [f"r{first + row}" for row in slates]
        types[rows] = str(EventType.IMPRESSION if shown else EventType.CLICK)
        positions[rows] = place if shown else SLATE - 1
        users[rows] = users[slates]
        times[rows] = times[slates] if shown else times[slates] + 30 * 1_000_000
        items[rows] = (items[slates] + min(place, SLATE - 1)) % size.items
    late = np.where(random.random(count) < LATE, random.integers(0, 36 * HOUR, size=count), 0)
    unplaced = positions < 0
    return pa.table(
        {
            "event_id": pa.array([f"e{first + row}" for row in range(count)]),
            "user_id": pa.array([f"u{user}" for user in users]),
            "item_id": pa.array([f"i{item}" for item in items]),
            "event_type": pa.array(types.tolist()),
            "value": pa.nulls(count, pa.float64()),
            "query": pa.nulls(count, pa.string()),
            "timestamp": pa.array(times).cast(TIMESTAMP),
            "received_at": pa.array(times + late).cast(TIMESTAMP),
            "placement": pa.nulls(count, pa.string()),
            "request_id": pa.array(requests.tolist(), pa.string()),
            "position": pa.array(positions, pa.int32(), mask=unplaced),
            "propensity": pa.array(np.full(count, 1.0 / SLATE), mask=unplaced),
            "release": pa.nulls(count, pa.string()),
        },
        schema=EVENT,
    )


def _users(day: Int64s, size: Size, random: np.random.Generator) -> Int64s:
    """Draw users. At any time a fifth of them is active, and few of those have most events."""
    count = max(size.events // EVENTS_OF_USER, 20)
    there = np.ceil(count * 0.2)
    oldest = np.floor(day / size.days * (count - there))
    users: Int64s = (oldest + np.floor(there * random.random(len(day)) ** 2)).astype(np.int64)
    return users


def _popular(times: Int64s, size: Size, random: np.random.Generator) -> Int64s:
    """Draw items.

    Among the existing items, the n-th most popular has a share of about 1/n (Zipf).
    """
    progress = (times - START) / (size.days * DAY)
    there = np.maximum(size.items * (FIRST_ITEMS + (1 - FIRST_ITEMS) * progress), 1)
    place = np.floor(np.exp(random.random(len(times)) * np.log(there + 1)) - 1)
    items: Int64s = np.minimum(place, there - 1).astype(np.int64) * SPREAD % size.items
    return items


def _items(ids: Int64s, size: Size, random: np.random.Generator) -> list[pa.Table]:
    """The items, with a second version at another price for every tenth."""
    later = np.maximum(ids / size.items - FIRST_ITEMS, 0.0) / (1 - FIRST_ITEMS)
    created = START + (later * size.days * DAY).astype(np.int64)
    prices = np.round(random.lognormal(3.0, 1.0, size=len(ids)), 2)
    changed = ids % 10 == 0
    end = START + size.days * DAY
    known = created + (random.random(len(ids)) * (end - created)).astype(np.int64)
    return [
        _versions(ids, created, created, prices),
        _versions(ids[changed], created[changed], known[changed], prices[changed] * 0.9),
    ]


def _versions(ids: Int64s, created: Int64s, known: Int64s, prices: Float64s) -> pa.Table:
    count = len(ids)
    return pa.table(
        {
            "item_id": pa.array([f"i{item}" for item in ids], pa.string()),
            "title": pa.array(
                [f"thing {item % 977} of kind {item % 89}" for item in ids], pa.string()
            ),
            "description": pa.nulls(count, pa.string()),
            "categories": pa.array(
                [[f"c{item % CATEGORIES}"] for item in ids], pa.list_(pa.string())
            ),
            "price": pa.array(np.round(prices, 2), pa.float64()),
            "available": pa.array(np.ones(count, dtype=np.bool_)),
            "created_at": pa.array(created).cast(TIMESTAMP),
            "image": pa.nulls(count, pa.string()),
            "audio": pa.nulls(count, pa.string()),
            "attributes": pa.nulls(count, pa.string()),
            "received_at": pa.array(known).cast(TIMESTAMP),
        },
        schema=ITEM,
    )
