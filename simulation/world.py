"""Stage `world`: the history of the embedded market.

Reads only section `world` of params.yaml. Writes `items/dt=…`, `events/dt=…` and `users` in the
pipeline's input format.

    python -m simulation.world data/world
"""

import datetime
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from base import params
from base.outputs import replace_folder
from features.schema import DAY, USER
from simulation import items
from simulation.history import write_days
from simulation.market import START, Market
from simulation.world_params import WorldParams


def write(world: WorldParams, folder: Path) -> Market:
    """Write the history into `folder`; returns the market on the morning of live day 0."""
    market = Market(world)
    _write_items(market, folder)
    users = pa.table(
        [pa.array(market.users.user_ids, pa.string()), pa.nulls(len(market.users), pa.string())],
        schema=USER,
    )
    _write_part(users, folder / "users", 0)
    offset = 0
    for day, events in write_days(market):
        _write_part(events, folder / "events" / _partition(day), offset)
        offset += events.num_rows
        if market.day < world.history_days:
            _write_items(market, folder)
    return market


def main() -> None:
    """Run the stage."""
    world = params.load(WorldParams, "world")
    with replace_folder(Path(sys.argv[1])) as folder:
        write(world, folder)


def _write_items(market: Market, folder: Path) -> None:
    new = market.new_items()
    if len(new):
        rows = items.table(new, np.full(len(new), market.morning))
        offset = len(market.items) - len(new)
        _write_part(rows, folder / "items" / _partition(market.day), offset)


def _partition(day: int) -> str:
    return (
        f"dt={datetime.datetime.fromtimestamp((START + day * DAY) // 10**6, datetime.UTC):%Y-%m-%d}"
    )


def _write_part(rows: pa.Table, folder: Path, offset: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    last = offset + max(rows.num_rows - 1, 0)
    pq.write_table(rows, folder / f"part-{offset:012d}-{last:012d}.parquet")


if __name__ == "__main__":
    main()
