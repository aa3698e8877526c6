"""The data that a source may be fitted on: the log of `data/split` up to a moment chosen by the
caller."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from base.arrays import Int32s, Int64s
from features.items.catalogue import Catalogue
from features.people.counted import COUNTED
from features.requests.requests import Queries
from features.requests.training_set import load_catalogue, load_queries
from features.splits.windows import Windows


@dataclass(frozen=True)
class Events:
    """Positive events [n], oldest first for each user.

    users, items: int32; timestamps: int64, µs.
    """

    users: Int32s
    items: Int32s
    timestamps: Int64s

    @property
    def known_items(self) -> int:
        """The number of items from the start of the catalogue that these events can involve."""
        return int(self.items.max(initial=-1)) + 1


@dataclass(frozen=True)
class Log:
    """Access to the log. split: `data/split`; features: `data/features`, for sources that are
    `tuned`."""

    split: Path
    features: Path | None = None

    def windows(self) -> Windows:
        """The time windows of this run. Sources are fitted on events before `fit_end`."""
        return Windows.read(self.split / "windows.json")

    def events(self, until: int) -> Events:
        """The events that count and had happened and were known before `until`, µs."""
        table = pq.read_table(
            self.split / "events.parquet",
            columns=["user", "item", "timestamp", "received_at"],
            filters=COUNTED,
        )
        user, item, timestamp, received_at = (column.to_numpy() for column in table.columns)
        kept = (timestamp < until) & (received_at < until)
        return Events(user[kept], item[kept], timestamp[kept])

    def choices(self) -> tuple[Queries, Catalogue]:
        """The organic queries of the rank window, and the catalogue at that time.

        Raises ValueError without `features`.
        """
        if self.features is None:
            raise ValueError("only a source that is `tuned` is given data/features")
        queries = load_queries(self.split, self.features, "rank", "organic")
        return queries, load_catalogue(self.split, "rank_items")
