"""From what a client sent to rows of the outbox: checked one by one, joined to the slots shown.

What the log would set aside is refused here, by the same rules and with the same words
(`features.ingest.refusals`), before anybody is told that it was accepted.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from features.ingest.refusals import event_refusal
from features.ingest.times import microseconds
from features.ingest.values import BLANKS, identity, number, text
from serving.feedback_log import Row, Slot
from serving.models import FeedbackEvent
from serving.signing import Signer

#: What a client may say of an event, and how it is read; the rest of it is ours to know.
_SENT: Final[Mapping[str, Callable[[Any], Any]]] = (
    dict.fromkeys(("event_id", "user_id", "item_id", "placement"), identity)
    | dict.fromkeys(("event_type", "query", "request_id"), text)
    | {"value": number}
)


@dataclass(frozen=True)
class Rejection:
    """An event that is kept as a dead letter."""

    event_id: str | None
    reason: str
    payload: Any

    def row(self, now: int) -> Row:
        return {
            "event_id": self.event_id,
            "reason": self.reason,
            "payload": self.payload,
            "received_at": now,
        }


def check(
    sent: Sequence[Any], signer: Signer, now: int
) -> tuple[list[dict[str, Any]], list[Rejection]]:
    """Valid events as rows of the outbox (without position, propensity, release), and the rest.

    The signature of a `request_id` is taken off. `now`: when they were received, µs; an event
    without a timestamp happened now, one from the near future too. Each event's time is read by
    itself: s, ms or µs by magnitude, or ISO 8601.
    """
    rows, rejected = [], []
    for payload in sent:
        try:
            rows.append(_row(payload, signer, now))
        except ValidationError as error:
            rejected.append(Rejection(_event_id(payload), _reason(error), payload))
        except ValueError as error:
            rejected.append(Rejection(_event_id(payload), str(error), payload))
    return rows, rejected


def join(
    rows: Sequence[dict[str, Any]], shown: Mapping[str, Mapping[str, Slot]]
) -> tuple[list[dict[str, Any]], list[Rejection]]:
    """Give each outcome the position, propensity and release of its slot; reject false claims.

    shown: request id to item id to slot, as `FeedbackLog.slots_of`.
    """
    joined, rejected = [], []
    for row in rows:
        if row["request_id"] is None:
            joined.append(row)
            continue
        slate = shown.get(row["request_id"], {})
        slot = slate.get(row["item_id"]) if row["item_id"] is not None else None
        owner = next((s.user_id for s in slate.values()), None)
        reason = None
        if not slate:
            reason = "the request is not in the log"
        elif owner != row["user_id"]:
            reason = "the request belongs to another user"
        elif slot is None and row["item_id"] is not None:
            reason = "the item was not in the slate of this request"
        if reason is not None:
            rejected.append(Rejection(row["event_id"], reason, row))
        elif slot is None:
            joined.append(row)
        else:
            joined.append(
                row
                | {
                    "request_id": slot.request_id,
                    "position": slot.position,
                    "propensity": slot.propensity,
                    "release": slot.release,
                    "placement": slot.placement,
                }
            )
    return joined, rejected


def _row(payload: Any, signer: Signer, now: int) -> dict[str, Any]:
    if not isinstance(payload, dict):
        raise ValueError("an event must be an object")
    told = {name: read(payload.get(name)) for name, read in _SENT.items()}
    told["timestamp"] = _time(payload, now)
    told["event_type"] = (told["event_type"] or "").strip(BLANKS).lower()
    reason = event_refusal(told | {"received_at": now}, now)
    if reason is not None:
        raise ValueError(reason)
    if told["event_id"] is None:
        raise ValueError("event_id is missing")
    event = FeedbackEvent.model_validate(told)
    request_id = None
    if event.request_id is not None:
        request_id = signer.verify(event.request_id)
        if request_id is None:
            raise ValueError("the signature of request_id is not ours")
    return {
        "event_id": event.event_id,
        "user_id": event.user_id,
        "item_id": event.item_id,
        "event_type": event.event_type.value,
        "value": event.value,
        "query": event.query,
        "timestamp": now if event.timestamp is None else min(event.timestamp, now),
        "received_at": now,
        "placement": event.placement,
        "request_id": request_id,
        "position": None,
        "propensity": None,
        "release": None,
    }


def _time(payload: Mapping[str, Any], now: int) -> int | None:
    """µs; None for what is no time."""
    sent = payload.get("timestamp")
    try:
        return now if sent is None else microseconds(sent)
    except ValueError:
        return None


def _event_id(payload: Any) -> str | None:
    event_id = payload.get("event_id") if isinstance(payload, dict) else None
    return event_id if isinstance(event_id, str) else None


def _reason(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
