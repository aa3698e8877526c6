"""How views of one user's history merge: what the log knew, what just happened, what was sent."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeVar

#: An item by id, or by its place in a catalogue.
Item = TypeVar("Item", str, int)


@dataclass(frozen=True)
class UserHistory:
    """Positive events of a user, oldest first, and the items that the user hid.

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
    """The newest `length` of some entries (timestamp, item, event type), each once, oldest first.

    before: entries of this moment (µs) and later ones are left out. Those of one moment stay in the
    order in which they are given.
    """
    ordered = sorted(dict.fromkeys(entries), key=itemgetter(0))
    end = len(ordered) if before is None else bisect_left(ordered, before, key=itemgetter(0))
    return ordered[max(end - length, 0) : end]


def merge(batch: UserHistory, live: UserHistory, length: int) -> UserHistory:
    """Both views, each event once, the newest `length`; the hidden items of either."""
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
