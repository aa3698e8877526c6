"""Requests as arrays: everything a recommender may look at, and nothing later."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from features.item_steps import ItemFeatures
from features.ragged import Histories, Ragged, gather


@dataclass(frozen=True)
class Requests:
    """A batch of requests against one catalogue.

    user_ids: object [n]; timestamps: int64 [n], µs;
    histories: positive events strictly before each request;
    user_features: float32 [n, USER_FEATURES], NaN where unknown;
    impressed: items shown to the user in the last 7 days as of the last materialisation, with
    `impressed_counts`, float32 [entries], how often;
    item_features: float32 [snapshots, catalogue, ITEM_FEATURES], an array or looked up;
    snapshot: int32 [n], the row of `item_features` that was online at each request;
    hidden: items the user hid or disliked before the request.
    """

    user_ids: npt.NDArray[np.object_]
    timestamps: npt.NDArray[np.int64]
    histories: Histories
    user_features: npt.NDArray[np.float32]
    impressed: Ragged
    impressed_counts: npt.NDArray[np.float32]
    item_features: ItemFeatures
    snapshot: npt.NDArray[np.int32]
    hidden: Ragged

    def __len__(self) -> int:
        return len(self.user_ids)

    def select(self, rows: npt.NDArray[np.int64]) -> "Requests":
        """The requests of `rows`, in that order."""
        impressed, impressed_offsets = gather(self.impressed.offsets, rows)
        hidden, hidden_offsets = gather(self.hidden.offsets, rows)
        return replace(
            self,
            user_ids=self.user_ids[rows],
            timestamps=self.timestamps[rows],
            histories=self.histories.select(rows),
            user_features=self.user_features[rows],
            impressed=Ragged(impressed_offsets, self.impressed.items[impressed]),
            impressed_counts=self.impressed_counts[impressed],
            snapshot=self.snapshot[rows],
            hidden=Ragged(hidden_offsets, self.hidden.items[hidden]),
        )


@dataclass(frozen=True)
class Queries:
    """Requests whose outcome is known.

    requests: the context of each query; targets: the items that the user then chose (one moment,
    or the clicks of one slate); users: int64 [n], for resampling and averaging by user;
    shown: for slates, the items in order of position (empty rows for organic queries).
    """

    requests: Requests
    targets: Ragged
    users: npt.NDArray[np.int64]
    shown: Ragged

    def __len__(self) -> int:
        return len(self.requests)

    def select(self, rows: npt.NDArray[np.int64]) -> "Queries":
        """The queries of `rows`, in that order."""
        targets, target_offsets = gather(self.targets.offsets, rows)
        shown, shown_offsets = gather(self.shown.offsets, rows)
        return Queries(
            self.requests.select(rows),
            Ragged(target_offsets, self.targets.items[targets]),
            self.users[rows],
            Ragged(shown_offsets, self.shown.items[shown]),
        )
