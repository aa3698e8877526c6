"""Stage `features`: daily aggregates, batch histories and the point-in-time joins of all queries.

Reads `data/split`; writes `user_activity`, `item_activity`, `user_history` (the sources of the
Feast views), `query_users` (a row per query) and `item_snapshots` (a row per snapshot and item).

    python -m features.aggregate data/split data/features
"""

import sys
from pathlib import Path

import pyarrow.parquet as pq

from features.activity import write_activity, write_history
from features.joins import item_snapshots, query_users
from features.outputs import replace_folder
from features.snapshots import snapshot_times
from features.windowing import Rules


def aggregate(split: Path, out: Path) -> list[int]:
    """Write all tables into `out`, an existing empty folder; returns the snapshot times, µs."""
    snapshots = snapshot_times(split)
    write_activity(split, out, snapshots)
    write_history(split, out, snapshots[-1], Rules.read(split / "rules.json").history_length)
    pq.write_table(query_users(split, out), out / "query_users.parquet")
    pq.write_table(item_snapshots(split, out, snapshots), out / "item_snapshots.parquet")
    return snapshots


def main() -> None:
    split, out = Path(sys.argv[1]), Path(sys.argv[2])
    with replace_folder(out) as temporary:
        snapshots = aggregate(split, temporary)
    print(f"{len(snapshots)} daily snapshots of {split} in {out}")


if __name__ == "__main__":
    main()
