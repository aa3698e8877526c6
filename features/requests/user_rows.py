"""The part of requests that is known of users, with item indices of a catalogue.

It is read by user: from the online store, from the log or from a logged context.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from base.arrays import Float32s, Int32s, Int64s, Objects
from features.items.catalogue import Catalogue
from features.merge import UserHistory
from features.ragged import Histories, Ragged
from features.requests.item_steps import ItemFeatures
from features.requests.requests import Requests, unknown_users

#: Items shown to a user, with how often each was shown.
Impressed = Iterable[tuple[str, float]]


class UserRows(NamedTuple):
    """Data of n users. The fields are as in `Requests`."""

    user_features: Float32s
    impressed: Ragged
    impressed_counts: Float32s
    histories: Histories
    hidden: Ragged

    @staticmethod
    def of(
        rows: Sequence[UserHistory],
        catalogue: Catalogue,
        user_features: Float32s | None = None,
        impressed: Sequence[Impressed] | None = None,
    ) -> "UserRows":
        """From histories with item ids; ids that the catalogue does not know are left out.

        Arguments that are not given count as unknown.
        """
        index, count = catalogue.index, len(rows)
        shown = [
            [(index[item], times) for item, times in row if item in index]
            for row in impressed or [()] * count
        ]
        histories = [
            [
                (timestamp, index[item], event_type)
                for timestamp, item, event_type in row.entries()
                if item in index
            ]
            for row in rows
        ]
        return UserRows(
            unknown_users(count) if user_features is None else user_features,
            Ragged.from_lists([[item for item, _ in row] for row in shown]),
            np.array([times for row in shown for _, times in row], dtype=np.float32),
            Histories.from_rows(histories),
            Ragged.from_lists([catalogue.places(row.hidden) for row in rows]),
        )

    def requests(
        self,
        user_ids: Sequence[str] | Objects,
        timestamps: Sequence[int] | Int64s,
        item_features: ItemFeatures,
        *,
        histories: Histories | None = None,
        snapshot: Int32s | None = None,
        excluded: Ragged | None = None,
    ) -> Requests:
        """One request per user.

        `histories`, if given, replace those of the users. Arguments as in `Requests.of`.
        """
        return Requests.of(
            user_ids,
            timestamps,
            item_features,
            histories=self.histories if histories is None else histories,
            user_features=self.user_features,
            impressed=self.impressed,
            impressed_counts=self.impressed_counts,
            snapshot=snapshot,
            hidden=self.hidden,
            excluded=excluded,
        )
