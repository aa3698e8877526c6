"""Why a row is refused: one rule at both doors, the service's (a row) and the import's (SQL).

The service asks `event_refusal` and `item_refusal` before it answers; ingestion judges whole tables
with `EVENT_RULES` and `ITEM_RULES`. A test holds that both say the same, so that nothing that was
accepted is quarantined later. Times are µs here: `features.ingest.times` has read them.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from features.log import numbers
from features.schema import DAY, MINUTE, EventType

#: How far a client's clock may run ahead.
CLOCK_TOLERANCE: Final = 5 * MINUTE
LONGEST_ID: Final = 256

#: Nobody logged behaviour in 1970: an unset time lands there, and one of today in a wrong unit.
EARLIEST: Final = 365 * DAY

#: Event types that say nothing without a value.
VALUED: Final = (EventType.RATING, EventType.WATCH)

#: Why a row is set aside that repeats one which is stored. That is no fault: an export that holds
#: all of history brings its old rows every time.
DUPLICATE: Final = "duplicate"

_TOO_LONG: Final = f"an id is longer than {LONGEST_ID} characters"
_CONTROL: Final = "an id holds a line break, a tab or another control character"
_PRICE: Final = "price is not a number of at least 0"
_UNSET: Final = "timestamp is before 1971, as one that is unset or in another unit"


def event_refusal(event: Mapping[str, Any], now: int) -> str | None:
    """Why the log cannot use `event` (columns of `schema.EVENT`, absent or null where unknown)."""
    user, item, kind = (_text(event.get(name)) for name in ("user_id", "item_id", "event_type"))
    kind = kind.lower()
    timestamp, value = event.get("timestamp"), _number(event.get("value"))
    received = event.get("received_at")
    received = timestamp if received is None else received
    position, propensity = event.get("position"), _number(event.get("propensity"))
    ids = (user, item, str(event.get("event_id") or ""))
    if not user:
        return "user_id is missing"
    if not kind:
        return "event_type is missing"
    if kind not in list(EventType):
        return f"unknown event_type '{kind}'"
    if not item and kind != EventType.SEARCH:
        return "item_id is missing"
    if any(len(text) > LONGEST_ID for text in ids):
        return _TOO_LONG
    if any(re.search(r"[\x00-\x1f\x7f]", text) for text in ids):
        return _CONTROL
    if not isinstance(timestamp, int):
        return "timestamp is missing or not a time"
    if not isinstance(received, int):
        return "received_at is not a time"
    if timestamp < EARLIEST:
        return _UNSET
    if timestamp > now + CLOCK_TOLERANCE:
        return "timestamp is in the future"
    if received > now + CLOCK_TOLERANCE:
        return "received_at is in the future"
    if value is not None and not math.isfinite(value):
        return "value is not a finite number"
    if value is None and kind in VALUED:
        return f"a {kind} has no value"
    if position is not None and not _whole(position):
        return "position is not a whole number"
    if propensity is not None and not 0 < propensity <= 1:
        return "propensity is not in (0, 1]"
    return None


#: Over the columns that `validate_events` has typed; `{now}` in µs.
EVENT_RULES: Final = f"""CASE
    WHEN error IS NOT NULL THEN error
    WHEN user_id IS NULL THEN 'user_id is missing'
    WHEN event_type IS NULL OR event_type = '' THEN 'event_type is missing'
    WHEN event_type NOT IN ({numbers(list(EventType))})
        THEN 'unknown event_type ''' || event_type || ''''
    WHEN item_id IS NULL AND event_type <> '{EventType.SEARCH}' THEN 'item_id is missing'
    WHEN greatest(length(user_id), length(coalesce(item_id, '')), length(event_id)) > {LONGEST_ID}
        THEN '{_TOO_LONG}'
    WHEN regexp_matches(user_id, '[[:cntrl:]]') OR regexp_matches(event_id, '[[:cntrl:]]')
        OR regexp_matches(coalesce(item_id, ''), '[[:cntrl:]]') THEN '{_CONTROL}'
    WHEN timestamp IS NULL THEN 'timestamp is missing or not a time'
    WHEN received_at IS NULL THEN 'received_at is not a time'
    WHEN timestamp < {EARLIEST} THEN '{_UNSET}'
    WHEN timestamp > {{now}} + {CLOCK_TOLERANCE} THEN 'timestamp is in the future'
    WHEN received_at > {{now}} + {CLOCK_TOLERANCE} THEN 'received_at is in the future'
    WHEN raw_value IS NOT NULL AND (value IS NULL OR NOT isfinite(value))
        THEN 'value is not a finite number'
    WHEN value IS NULL AND event_type IN ({numbers(list(VALUED))})
        THEN 'a ' || event_type || ' has no value'
    WHEN bad_position THEN 'position is not a whole number'
    WHEN raw_propensity IS NOT NULL AND (propensity IS NULL OR NOT isfinite(propensity)
        OR propensity <= 0 OR propensity > 1) THEN 'propensity is not in (0, 1]'
END"""


def item_refusal(item: Mapping[str, Any], now: int) -> str | None:
    """Why the catalogue cannot use `item` (columns of `schema.ITEM`, absent or null likewise)."""
    item_id, price, available = _text(item.get("item_id")), item.get("price"), item.get("available")
    created, received = item.get("created_at"), item.get("received_at")
    received = created if received is None else received
    number = _number(price)
    if not item_id:
        return "item_id is missing"
    if len(item_id) > LONGEST_ID:
        return _TOO_LONG
    if re.search(r"[\x00-\x1f\x7f]", item_id):
        return _CONTROL
    if number is not None and not (math.isfinite(number) and number >= 0):
        return _PRICE
    if available is not None and not isinstance(available, bool):
        return "available is neither true nor false"
    if created is not None and not isinstance(created, int):
        return "created_at is not a time"
    if received is not None and not isinstance(received, int):
        return "received_at is not a time"
    if received is not None and received > now + CLOCK_TOLERANCE:
        return "received_at is in the future"
    return None


#: Over the columns that `validate_items` has typed; `{now}` in µs.
ITEM_RULES: Final = f"""CASE
    WHEN error IS NOT NULL THEN error
    WHEN item_id IS NULL THEN 'item_id is missing'
    WHEN length(item_id) > {LONGEST_ID} THEN '{_TOO_LONG}'
    WHEN regexp_matches(item_id, '[[:cntrl:]]') THEN '{_CONTROL}'
    WHEN raw_price IS NOT NULL AND (price IS NULL OR NOT isfinite(price) OR price < 0)
        THEN '{_PRICE}'
    WHEN bad_flag THEN 'available is neither true nor false'
    WHEN raw_created IS NOT NULL AND created_at IS NULL THEN 'created_at is not a time'
    WHEN received_at IS NULL THEN 'received_at is not a time'
    WHEN received_at > {{now}} + {CLOCK_TOLERANCE} THEN 'received_at is in the future'
END"""


def _text(value: Any) -> str:
    """An id or a word as it is stored: without the spaces around it."""
    return "" if value is None else str(value).strip(" ")


def _number(value: Any) -> float | None:
    """NaN for what is no number."""
    if value is None:
        return None
    if isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _whole(value: Any) -> bool:
    return not isinstance(value, bool) and bool(re.fullmatch(r"[0-9]{1,9}([.]0*)?", str(value)))
