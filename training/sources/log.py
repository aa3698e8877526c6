"""What a source may be fitted on: the log of `data/split`, up to a moment that the caller names."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from base.arrays import Int32s, Int64s
from features.items.catalogue import Catalogue
from features.requests.requests import Queries
from features.requests.training_set import load_catalogue, load_queries
from features.splits.windows import Windows


@dataclass(frozen=True)
class Events:
    """Positive events [n], each user's oldest first: users, items: int32; timestamps: int64, µs."""

    users: Int32s
    items: Int32s
    timestamps: Int64s

    @property
    def known_items(self) -> int:
        """How many items of the catalogue, from its first, these events can speak of."""
        return int(self.items.max(initial=-1)) + 1


@dataclass(frozen=True)
class Log:
    """split: `data/split`; features: `data/features`, for sources that are `tuned`."""

    split: Path
    features: Path | None = None

    def windows(self) -> Windows:
        """The time windows of this run. A source is fitted up to `fit_end`."""
        return Windows.read(self.split / "windows.json")

    def events(self, until: int) -> Events:
        """What had happened and was known before `until`, µs."""
        table = pq.read_table(
            self.split / "events.parquet", columns=["user", "item", "timestamp", "received_at"]
        )
        user, item, timestamp, received_at = (column.to_numpy() for column in table.columns)
        kept = (timestamp < until) & (received_at < until)
        return Events(user[kept], item[kept], timestamp[kept])

    def choices(self) -> tuple[Queries, Catalogue]:
        """The organic queries of the rank window and the catalogue of their time.

        Raises ValueError without `features`.
        """
        if self.features is None:
            raise ValueError("only a source that is `tuned` is given data/features")
        queries = load_queries(self.split, self.features, "rank", "organic")
        return queries, load_catalogue(self.split, "rank_items")
