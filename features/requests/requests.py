"""Requests as arrays: everything that a recommender may look at, and nothing later."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from base.arrays import Float32s, Int32s, Int64s, Objects
from features.ragged import Histories, Ragged, gather
from features.requests.item_steps import ItemFeatures
from features.schema import USER_FEATURES

#: The features in arrays without names, from the first releases and logged requests.
FIRST_USER_FEATURES: Final = (
    "user_events_1d",
    "user_events_7d",
    "user_events_30d",
    "user_impressions_7d",
    "user_clicks_7d",
    "user_mean_price_30d",
)
FIRST_ITEM_FEATURES: Final = (
    "item_events_1d",
    "item_events_3d",
    "item_events_7d",
    "item_events_30d",
    "item_users_7d",
    "item_impressions_7d",
    "item_clicks_7d",
    "item_ctr_7d",
)


def aligned(values: Float32s, names: Sequence[str], wanted: Sequence[str]) -> Float32s:
    """Reorder features [..., names] to [..., wanted] by name.

    A feature that is not in `names` is NaN.
    """
    if tuple(names) == tuple(wanted):
        return values
    found = np.full((*values.shape[:-1], len(wanted)), np.nan, dtype=np.float32)
    for place, name in enumerate(wanted):
        if name in names:
            found[..., place] = values[..., list(names).index(name)]
    return found


@dataclass(frozen=True)
class Requests:
    """A batch of requests against one catalogue.

    user_ids: object [n]; timestamps: int64 [n], µs; histories: positive events strictly before each
    request; user_features: float32 [n, USER_FEATURES], NaN where unknown; impressed: items shown to
    the user in the 7 days before the last materialisation; impressed_counts: float32 [entries], how
    often each was shown; item_features: float32 [snapshots, catalogue, ITEM_FEATURES], an array or
    ItemSteps; snapshot: int32 [n], the row of `item_features` that was online at each request;
    hidden: items that the user hid or disliked before the request; excluded: items that the
    question rules out, such as those on earlier pages (None for organic queries, which have no such
    list).
    """

    user_ids: Objects
    timestamps: Int64s
    histories: Histories
    user_features: Float32s
    impressed: Ragged
    impressed_counts: Float32s
    item_features: ItemFeatures
    snapshot: Int32s
    hidden: Ragged
    excluded: Ragged | None = None

    @staticmethod
    def of(
        user_ids: Sequence[str] | Objects,
        timestamps: Sequence[int] | Int64s,
        item_features: ItemFeatures,
        *,
        histories: Histories | None = None,
        user_features: Float32s | None = None,
        impressed: Ragged | None = None,
        impressed_counts: Float32s | None = None,
        snapshot: Int32s | None = None,
        hidden: Ragged | None = None,
        excluded: Ragged | None = None,
    ) -> "Requests":
        """Make requests from the given arguments; everything else is unknown.

        Requests read the first snapshot of `item_features` unless `snapshot` is given. Call this
        wherever requests are made, so that the default of a new field is set in one place.
        """
        count = len(user_ids)
        return Requests(
            user_ids=np.asarray(user_ids, dtype=object),
            timestamps=np.asarray(timestamps, dtype=np.int64),
            histories=Histories.from_rows([()] * count) if histories is None else histories,
            user_features=unknown_users(count) if user_features is None else user_features,
            impressed=Ragged.empty(count) if impressed is None else impressed,
            impressed_counts=np.zeros(0, dtype=np.float32)
            if impressed_counts is None
            else impressed_counts,
            item_features=item_features,
            snapshot=np.zeros(count, dtype=np.int32) if snapshot is None else snapshot,
            hidden=Ragged.empty(count) if hidden is None else hidden,
            excluded=excluded,
        )

    def __len__(self) -> int:
        return len(self.user_ids)

    def select(self, rows: Int64s) -> "Requests":
        """The requests of `rows`, in that order."""
        impressed, impressed_offsets = gather(self.impressed.offsets, rows)
        return replace(
            self,
            user_ids=self.user_ids[rows],
            timestamps=self.timestamps[rows],
            histories=self.histories.select(rows),
            user_features=self.user_features[rows],
            impressed=Ragged(impressed_offsets, self.impressed.items[impressed]),
            impressed_counts=self.impressed_counts[impressed],
            snapshot=self.snapshot[rows],
            hidden=self.hidden.select(rows),
            excluded=None if self.excluded is None else self.excluded.select(rows),
        )

    def excluding(self, excluded: Ragged) -> "Requests":
        """The same requests with these items ruled out, one row each."""
        return replace(self, excluded=excluded)


def unknown_users(count: int) -> Float32s:
    """float32 [count, USER_FEATURES] of NaN, for users without known features."""
    return np.full((count, len(USER_FEATURES)), np.nan, dtype=np.float32)


@dataclass(frozen=True)
class Queries:
    """Requests with a known outcome.

    requests: the context of each query; targets: the items that the user then chose (at one moment,
    or by clicks on one slate); users: int64 [n], for resampling and averaging by user; shown: the
    items of a slate in order of position (empty rows for organic queries).
    """

    requests: Requests
    targets: Ragged
    users: Int64s
    shown: Ragged

    def __len__(self) -> int:
        return len(self.requests)

    def select(self, rows: Int64s) -> "Queries":
        """The queries of `rows`, in that order."""
        return Queries(
            self.requests.select(rows),
            self.targets.select(rows),
            self.users[rows],
            self.shown.select(rows),
        )
