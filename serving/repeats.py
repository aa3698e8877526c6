"""Re-rolling ends: an unchanged question gets the slate that was shown first (docs/adr/0018).

Unchanged is the state: user, placement, history (with what was hidden), exclusions, release and
generation.
`request_id` and `k` are no part of it: within the window every request of one state belongs to one
draw, of which a shorter slate shows the beginning and a longer one goes on. The log knows the draws
of all workers, so one look by index is what a repeat costs.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import orjson

from base.arrays import Bools, Int32s
from features.requests.requests import Requests
from serving import context
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

    since: a draw that began at or before this, µs, is over; shown: what the log has of it, None
    for a draw that begins.
    """

    state: str
    since: int
    shown: Shown | None

    @property
    def slots(self) -> Sequence[Row]:
        """What was shown of it so far."""
        return () if self.shown is None else self.shown.slots

    @property
    def seed(self) -> str | None:
        """Of its uniform numbers, where it has begun."""
        return None if self.shown is None else context.decode(self.shown.request["context"]).seed

    def items(self, live: Live) -> Int32s:
        """`slots` by index of the catalogue, int32 [slots]."""
        return np.array([live.catalogue.index[s["item_id"]] for s in self.slots], dtype=np.int32)

    def answer(self, k: int, eligible: int) -> Shown | None:
        """`shown`, if that is all there is for a slate of `k` with `eligible` items to choose
        from; else None."""
        return self.shown if len(self.slots) >= min(k, eligible) else None


def state_of(live: Live, placement: str, requests: Requests, allowed: Bools, lost: bool) -> str:
    """Digest of what one request (`requests` holds one row) asks, but for how much of it; allowed:
    bool [catalogue], what may be shown but for its exclusions; lost: without the online store,
    whose return is another state.

    The order of exclusions and of hides makes no difference, nor does one that is named twice, or
    an excluded item that could not be shown anyway.
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
    """The draw of `state` under way; eligible: bool [catalogue].

    A slate with an item that may no longer be shown (withdrawn from the catalogue) is over: what
    follows is a state of its own.
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
