"""Stage `features`: daily aggregates, batch histories and the point-in-time joins of all queries.

Reads `data/split`. Writes `user_activity`, `item_activity` and `user_history`, which are the
sources of the Feast views, `query_users` (one row per query) and `item_snapshots` (how items change
from one snapshot that a query reads to the next).

    python -m features.batch.aggregate data/split data/features
"""

import sys
from pathlib import Path

import pyarrow.parquet as pq

from base.outputs import replace_folder
from features.batch.activity import write_activity, write_history
from features.batch.joins import query_items, query_users
from features.batch.snapshots import Snapshots
from features.schema import DAY
from features.splits.windowing import Rules
from features.splits.windows import Windows


def aggregate(split: Path, out: Path) -> Snapshots:
    """Write all tables into `out`, an existing empty folder."""
    snapshots = Snapshots.of(Windows.read(split / "windows.json"))
    snapshots.write(out)
    write_activity(split, out, snapshots)
    write_history(split, out, snapshots.last, Rules.read(split / "rules.json").history_length)
    pq.write_table(query_users(split, out), out / "query_users.parquet")
    pq.write_table(query_items(split, out), out / "item_snapshots.parquet")
    return snapshots


def main() -> None:
    split, out = Path(sys.argv[1]), Path(sys.argv[2])
    with replace_folder(out) as temporary:
        snapshots = aggregate(split, temporary)
    days = (snapshots.last - snapshots.first) // DAY + 1
    print(f"wrote the changes of {days} daily snapshots of {split} to {out}")


if __name__ == "__main__":
    main()
