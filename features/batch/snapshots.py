"""The midnights at which aggregates are computed, from the rank window to the end of the log."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.arrays import Int64s
from features.schema import DAY
from features.splits.windows import Windows

FILE = "snapshots.json"


@dataclass(frozen=True)
class Snapshots:
    """The first and the last midnight, µs."""

    first: int
    last: int

    @staticmethod
    def of(windows: Windows) -> "Snapshots":
        """From the last midnight before the rank window to the first midnight after the log's
        end."""
        return Snapshots(windows.fit_end // DAY * DAY, (windows.judge_end // DAY + 1) * DAY)

    def held(self, timestamps: Int64s) -> Int64s:
        """The newest snapshot at each time: the last midnight, at most `last` (int64 [n], µs).

        Raises ValueError for a time before the first snapshot.
        """
        early = int((timestamps < self.first).sum())
        if early:
            raise ValueError(f"{early} of {len(timestamps)} times lie before the first snapshot")
        moments: Int64s = np.minimum(timestamps // DAY * DAY, self.last)
        return moments

    def write(self, folder: Path) -> None:
        (folder / FILE).write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def read(folder: Path) -> "Snapshots":
        """The snapshots of the folder `data/features`.

        An earlier Rondo wrote no such file: its tables had a row of every item in every snapshot.
        """
        if (folder / FILE).exists():
            return Snapshots(**json.loads((folder / FILE).read_text()))
        rows = pq.read_table(folder / "item_activity.parquet", columns=["event_timestamp"])
        times = pc.min_max(rows["event_timestamp"].cast(pa.int64())).as_py()
        return Snapshots(times["min"], times["max"])
