"""A world's log with the events of fakes among its own, and the items that they push."""

import datetime
import shutil
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.poison.attacks import Crowd, Target
from features.schema import DAY, POSITIVE
from simulation.items import Items

#: Days before the morning on which fakes act, and the age of the new item on that morning.
ATTACK_DAYS, NEW_DAYS = 5, 2
#: By kind of target: its place among items by the number of their people, 0 for the least.
PLACES: Final = {"unpopular": 0.2, "middling": 0.5, "popular": 0.95}


def read_events(world: Path, bots: set[str], first: int, last: int) -> Crowd:
    """Organic events of people on the days [first, last)."""
    paths = sorted(str(path) for path in world.glob("events/dt=*/*.parquet"))
    table = pq.ParquetDataset(paths).read(
        columns=["user_id", "item_id", "event_type", "timestamp", "request_id"]
    )
    events = table.set_column(
        table.schema.get_field_index("timestamp"), "timestamp", table["timestamp"].cast(pa.int64())
    ).to_pandas()
    day = events["timestamp"] // DAY
    wanted = events["request_id"].isna() & events["event_type"].isin(POSITIVE)
    wanted &= ~events["user_id"].isin(bots) & (day >= first) & (day < last)
    found = events[wanted].sort_values(["timestamp", "user_id"], kind="stable")
    return Crowd(found, sorted(found["item_id"].unique()))


def targets(crowd: Crowd, items: Items, morning: int, seed: int) -> dict[str, Target]:
    """An item of each kind. morning: the market's day before which fakes act, the last day of
    `crowd` plus one."""
    random = np.random.default_rng(seed)
    people = crowd.events.groupby("item_id")["user_id"].nunique()
    old = items.item_ids[items.first_day <= 0]
    order = (
        pd.Series(0, index=old).add(people.reindex(old), fill_value=0).sort_values(kind="stable")
    )
    last = int(crowd.events["timestamp"].max() // DAY) + 1
    found = {}
    for kind, place in PLACES.items():
        around = int(place * len(order)) + int(random.integers(-len(order) // 50, len(order) // 50))
        found[kind] = Target(str(order.index[around]), last - ATTACK_DAYS, last)
    new = items.item_ids[items.first_day == morning - NEW_DAYS]
    found["new"] = Target(str(random.choice(new)), last - NEW_DAYS, last)
    return found


def write_log(world: Path, fakes: pa.Table, folder: Path) -> None:
    """Copy a world's log and add events to the days on which they arrive."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(world, folder)
    day = pc.divide(fakes["received_at"].cast(pa.int64()), DAY).to_numpy()
    first = 10**9
    for number in np.unique(day).tolist():
        rows = fakes.filter(pa.array(day == number))
        name = f"part-{first:012d}-{first + len(rows) - 1:012d}.parquet"
        date = datetime.datetime.fromtimestamp(number * DAY // 10**6, datetime.UTC)
        part = folder / "events" / f"dt={date:%Y-%m-%d}"
        part.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, part / name)
        first += len(rows)
