"""Small event logs in the input folder's layout."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.schema import DAY, EVENT, HOUR, ITEM, TIMESTAMP

START = 1_704_067_200_000_000  # 2024-01-01 00:00 UTC


def at(day: int, hour: float = 0.0) -> int:
    """µs of `hour` on day `day` after START."""
    return START + day * DAY + round(hour * HOUR)


def event(
    event_id: str, user_id: str, item_id: str | None, timestamp: int, **columns: Any
) -> dict[str, Any]:
    """A click known at once, unless `columns` says otherwise."""
    row: dict[str, Any] = dict.fromkeys(EVENT.names)
    row |= {"event_type": "click", "received_at": timestamp}
    return row | {
        "event_id": event_id,
        "user_id": user_id,
        "item_id": item_id,
        "timestamp": timestamp,
        **columns,
    }


def item(item_id: str, received_at: int = START, **columns: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(ITEM.names)
    row |= {"available": True, "categories": [], "title": f"title of {item_id}"}
    return row | {"item_id": item_id, "received_at": received_at, **columns}


def table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    columns = []
    for field in schema:
        values = [row[field.name] for row in rows]
        if pa.types.is_timestamp(field.type):
            columns.append(pa.array(values, pa.int64()).cast(TIMESTAMP))
        else:
            columns.append(pa.array(values, field.type))
    return pa.table(columns, schema=schema)


def write_log(
    folder: Path,
    events: list[dict[str, Any]],
    items: list[dict[str, Any]] | None = None,
    first: int = 0,
) -> Path:
    """Write rows as ingest range [first, …]."""
    for kind, rows, schema in (("events", events, EVENT), ("items", items or [], ITEM)):
        days = {row["received_at"] // DAY for row in rows}
        for day in days:
            part = [row for row in rows if row["received_at"] // DAY == day]
            path = folder / kind / f"dt={np.datetime64(day, 'D')}"
            path.mkdir(parents=True, exist_ok=True)
            name = f"part-{first:012d}-{first + len(rows) - 1:012d}.parquet"
            pq.write_table(table(part, schema), path / name)
    return folder


def random_log(
    folder: Path, days: int = 6, users: int = 20, items: int = 60, per_day: int = 80, seed: int = 1
) -> Path:
    """A log with organic events, slates, clicks on them, hides, late arrivals and duplicates."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(days * per_day):
        time = START + int(rng.integers(0, days * DAY))
        user, thing = f"u{rng.integers(users)}", f"i{rng.integers(items)}"
        late = int(rng.integers(0, 30 * HOUR)) if rng.random() < 0.2 else 0
        kind = str(rng.choice(["click", "purchase", "hide"], p=[0.8, 0.1, 0.1]))
        rows.append(
            event(f"e{number:05d}", user, thing, time, event_type=kind, received_at=time + late)
        )
        if rng.random() < 0.3:
            for position, shown in enumerate(rng.permutation(items)[:3]):
                slot = {"request_id": f"r{number}", "position": position, "propensity": 0.5}
                shown_id = f"i{shown}"
                rows.append(
                    event(
                        f"r{number}:{position}",
                        user,
                        shown_id,
                        time,
                        event_type="impression",
                        **slot,
                    )
                )
                if rng.random() < 0.5:
                    rows.append(
                        event(f"c{number}:{position}", user, shown_id, time + HOUR // 2, **slot)
                    )
    rows += rows[::40]
    catalogue = [item(f"i{n}", price=float(n), created_at=START) for n in range(items)]
    return write_log(folder, rows, catalogue)
