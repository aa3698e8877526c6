"""Answer a repeated question with the slate shown first, so that users cannot draw again
(docs/adr/0018).

A question is the same if its state is: user, placement, history (with hidden items), exclusions,
release and generation. `request_id` and `k` are not part of the state. Within the time window, all
requests of one state belong to one draw: a shorter slate shows its beginning, and a longer one
continues it. The log holds the draws of all workers, so a repeat costs one look-up by index.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from base.arrays import Bools, Int32s
from features.requests import context
from features.requests.requests import Requests
from serving.feedback_log import FeedbackLog, Row
from serving.live import Live


@dataclass(frozen=True)
class Shown:
    """The longest slate of a draw: its row of `requests`, and its slots in order."""

    request: Row
    slots: Sequence[Row]

    @property
    def request_id(self) -> str:
        return str(self.request["request_id"])


@dataclass(frozen=True)
class Roll:
    """The draw that a request belongs to.

    since: a draw that began at or before this time (µs) is over; shown: the logged slate, or None
    for a new draw.
    """

    state: str
    since: int
    shown: Shown | None

    @property
    def slots(self) -> Sequence[Row]:
        """The slots that were shown so far."""
        return () if self.shown is None else self.shown.slots

    @property
    def seed(self) -> str | None:
        """The seed of the draw's uniform numbers, or None for a new draw."""
        return None if self.shown is None else context.seed_of(self.shown.request["context"])

    def items(self, live: Live) -> Int32s:
        """The items of `slots`, by catalogue index, int32 [slots]."""
        return np.array([live.catalogue.index[s["item_id"]] for s in self.slots], dtype=np.int32)

    def answer(self, k: int, eligible: int) -> Shown | None:
        """`shown`, if it suffices for a slate of `k` slots with `eligible` items to choose from;
        else None."""
        return self.shown if len(self.slots) >= min(k, eligible) else None


def state_of(live: Live, placement: str, requests: Requests, allowed: Bools, lost: bool) -> str:
    """Digest of what one request (`requests` holds one row) asks, apart from the length of the
    slate.

    allowed: bool [catalogue], items that may be shown if exclusions are ignored; lost: whether the
    online store is lost, which is a state of its own. The order of exclusions and hidden items does
    not matter, nor do repetitions or excluded items that could not be shown anyway.
    """
    ids, histories = live.catalogue.item_ids, requests.histories
    content = orjson.dumps(
        [
            requests.user_ids[0],
            placement,
            live.release_id,
            live.generation,
            lost,
            ids[histories.items].tolist(),
            histories.event_types.tolist(),
            histories.timestamps.tolist(),
            sorted(set(ids[requests.hidden.items].tolist())),
            sorted(_left_out(live, requests, allowed)),
        ]
    )
    return hashlib.sha256(content).hexdigest()


def _left_out(live: Live, requests: Requests, allowed: Bools) -> set[str]:
    """The items that could be shown if they were not excluded."""
    if requests.excluded is None:
        return set()
    items = requests.excluded.items
    return set(live.catalogue.item_ids[items[allowed[items]]].tolist())


def find(log: FeedbackLog, live: Live, state: str, eligible: Bools, since: int) -> Roll:
    """The current draw of `state`. eligible: bool [catalogue].

    A draw whose slate holds an item that may no longer be shown (such as one withdrawn from the
    catalogue) is over, and the next one is a state of its own.
    """
    while (found := log.newest(state, since)) is not None:
        shown = Shown(*found)
        if _may_be_shown(shown.slots, live, eligible):
            return Roll(state, since, shown)
        state = hashlib.sha256(f"{state} {shown.request_id}".encode()).hexdigest()
    return Roll(state, since, None)


def _may_be_shown(slots: Sequence[Row], live: Live, eligible: Bools) -> bool:
    index = live.catalogue.index
    return all(slot["item_id"] in index and eligible[index[slot["item_id"]]] for slot in slots)
