"""Turn events sent by clients into rows of the outbox: check each one and join it to the slot
shown.

Events that the log would set aside are refused here by the same rules, with the same messages
(`features.ingest.refusals`), so that nothing is accepted first and refused later.
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

#: The fields that a client may send, with their readers. The service sets all other fields itself.
_SENT: Final[Mapping[str, Callable[[Any], Any]]] = (
    dict.fromkeys(("event_id", "user_id", "item_id", "placement"), identity)
    | dict.fromkeys(("event_type", "query", "request_id"), text)
    | {"value": number}
)


@dataclass(frozen=True)
class Rejection:
    """An event that is stored as a dead letter."""

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
    """Split events into valid ones, as rows of the outbox (without position, propensity, release),
    and rejections.

    The signature of a `request_id` is removed. now: time of receipt, µs; used for events without a
    timestamp, or with one slightly in the future. Each event's time is read by itself: s, ms or µs
    by size, or ISO 8601.
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
    """Give each outcome the position, propensity and release of its slot, and reject false claims.

    shown: request id to item id to slot, as from `FeedbackLog.slots_of`.
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
    """The time in µs, or None if it is not a time."""
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
