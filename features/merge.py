"""Merge views of one user's history: from the log, from the newest feedback and from the
request."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeVar

#: An item id, or an index of a catalogue.
Item = TypeVar("Item", str, int)


@dataclass(frozen=True)
class UserHistory:
    """A user's positive events, oldest first, and the items that the user hid.

    items: item ids; event_types: `schema.EVENT_CODES`; timestamps: µs; hidden: item ids.
    """

    items: Sequence[str] = ()
    event_types: Sequence[int] = ()
    timestamps: Sequence[int] = ()
    hidden: Sequence[str] = ()

    def entries(self) -> Iterator[tuple[int, str, int]]:
        """(timestamp, item, event type) of each event."""
        return zip(self.timestamps, self.items, self.event_types, strict=True)


def newest(
    entries: Iterable[tuple[int, Item, int]], length: int, before: int | None = None
) -> list[tuple[int, Item, int]]:
    """The newest `length` distinct entries (timestamp, item, event type), oldest first.

    before: leave out entries at or after this moment (µs). Entries of one moment keep their order.
    """
    ordered = sorted(dict.fromkeys(entries), key=itemgetter(0))
    end = len(ordered) if before is None else bisect_left(ordered, before, key=itemgetter(0))
    return ordered[max(end - length, 0) : end]


def merge(batch: UserHistory, live: UserHistory, length: int) -> UserHistory:
    """Combine both views: each event once, the newest `length`; and all hidden items."""
    if not live.items and not live.hidden:
        return _last(batch, length)
    kept = newest([*batch.entries(), *live.entries()], length)
    return UserHistory(
        items=[item for _, item, _ in kept],
        event_types=[event_type for _, _, event_type in kept],
        timestamps=[timestamp for timestamp, _, _ in kept],
        hidden=sorted({*batch.hidden, *live.hidden}),
    )


def _last(history: UserHistory, length: int) -> UserHistory:
    start = max(len(history.items) - length, 0)
    return UserHistory(
        history.items[start:],
        history.event_types[start:],
        history.timestamps[start:],
        history.hidden,
    )
