"""One user's history from its two online views: what the log knew, and what just happened."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class UserHistory:
    """Positive events of a user, oldest first, and the items that the user hid.

    items: item ids; event_types: `schema.EVENT_CODES`; timestamps: µs; hidden: item ids.
    """

    items: Sequence[str] = ()
    event_types: Sequence[int] = ()
    timestamps: Sequence[int] = ()
    hidden: Sequence[str] = ()


def merge(batch: UserHistory, live: UserHistory, length: int) -> UserHistory:
    """Both, without duplicates by (item, event type, timestamp), the newest `length`.

    Events of one moment stay in the order of `batch`, then of `live`.
    """
    if not live.items and not live.hidden:
        return _newest(batch, length)
    rows = dict.fromkeys(
        (timestamp, item, event_type)
        for view in (batch, live)
        for item, event_type, timestamp in zip(
            view.items, view.event_types, view.timestamps, strict=True
        )
    )
    ordered = sorted(rows, key=lambda row: row[0])[-length:] if length else []
    return UserHistory(
        items=[row[1] for row in ordered],
        event_types=[row[2] for row in ordered],
        timestamps=[row[0] for row in ordered],
        hidden=sorted({*batch.hidden, *live.hidden}),
    )


def _newest(history: UserHistory, length: int) -> UserHistory:
    start = max(len(history.items) - length, 0)
    return UserHistory(
        history.items[start:],
        history.event_types[start:],
        history.timestamps[start:],
        history.hidden,
    )
