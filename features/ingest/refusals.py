"""The reasons why a row is refused: the same rules for single rows (service) and for tables
(import).

The service checks with `event_refusal` and `item_refusal` before it answers. Ingestion checks whole
tables with the SQL of `EVENT_RULES` and `ITEM_RULES`. A test asserts that both agree, so that
nothing accepted by the service is quarantined later. Times are µs here; `features.ingest.times`
reads them.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from features.event_log import literals
from features.ingest.values import identity, number
from features.schema import DAY, MINUTE, EventType

#: How far a client's clock may be ahead.
CLOCK_TOLERANCE: Final = 5 * MINUTE
LONGEST_ID: Final = 200
#: Length limit of a title, a description or a query.
LONGEST_TEXT: Final = 1 << 20

#: The first and the last time that can be a date here, µs: year 1 and year 9999.
FIRST_MOMENT: Final = -62_135_596_800_000_000
LAST_MOMENT: Final = 253_402_300_799_999_999

#: Events before 1971 are refused: such a time is unset, or recent but read in a wrong unit.
EARLIEST: Final = 365 * DAY

#: Event types that need a value.
VALUED: Final = (EventType.RATING, EventType.WATCH)

#: The reason for the later of two different rows of one item at the same time.
SECOND: Final = "another row of the item at the same time"

#: The reason for setting aside a row that is stored already. This is no error: an export of all of
#: history repeats its old rows every time.
DUPLICATE: Final = "duplicate"

_TOO_LONG: Final = f"an id is longer than {LONGEST_ID} characters"
_LONG_TEXT: Final = f"a text is longer than {LONGEST_TEXT} characters or holds a zero character"

#: Patterns of texts that cannot be ids, by reason. They are written without braces (which `format`
#: would interpret) and in a syntax that both Python and SQL understand.
_NO_ID: Final = {
    "an id holds a line break, a tab or another control character": r"[\x00-\x1f\x7f]",
    "an id is a word for a value, such as null, NaN or true": (
        r"^(null|NULL|None|NaN|nan|<NA>|\\N|true|false|True|False)$"
    ),
    "an id is a list or an object": (
        r"^\[ *([\x22\x27\[\x7b0-9-].*)?\]$|^\x7b *([\x22\x27].*)?\x7d$"
    ),
    "an id is a number with an exponent, which loses digits": r"^-?[0-9]([.][0-9]+)?[eE][+][0-9]+$",
}
_ANY: Final = "|".join(f"({pattern})" for pattern in _NO_ID.values())
_TEXTS: Final = ("title", "description", "image", "audio", "attributes")
FLAG: Final = "available is neither true nor false"
PRICE: Final = "price is not a number of at least 0"
_UNSET: Final = "timestamp is before 1971; it may be unset or in another unit"
_NEGATIVE_WATCH: Final = "the value of a watch is negative"


def id_refusal(*ids: str) -> str | None:
    """The reason why one of the texts `ids` cannot be an id, or None."""
    if any(len(text) > LONGEST_ID for text in ids):
        return _TOO_LONG
    if any("\ud800" <= letter <= "\udfff" for text in ids for letter in text):
        return "an id holds an incomplete character"  # a text column cannot hold that
    found = (why for why, like in _NO_ID.items() if any(re.search(like, text) for text in ids))
    return next(found, None)


def _id_rules(*ids: str) -> str:
    """The same as a SQL rule over columns.

    It tests all patterns in one expression first, as few texts match.
    """
    longest = ", ".join(f"length({text})" for text in ids)
    reasons = " ".join(
        f"WHEN {' OR '.join(f'regexp_matches({text}, {_sql(like)})' for text in ids)} THEN '{why}'"
        for why, like in _NO_ID.items()
    )
    return (
        f"WHEN greatest({longest}) > {LONGEST_ID} THEN '{_TOO_LONG}' "
        f"WHEN {' OR '.join(f'regexp_matches({text}, {_sql(_ANY)})' for text in ids)} "
        f"THEN CASE {reasons} END"
    )


def _text_rules(*texts: str) -> str:
    wrong = (f"length({text}) > {LONGEST_TEXT} OR contains({text}, chr(0))" for text in texts)
    return f"WHEN {' OR '.join(wrong)} THEN '{_LONG_TEXT}'"


def _sql(pattern: str) -> str:
    return "'" + pattern.replace("'", "''") + "'"


def event_refusal(event: Mapping[str, Any], now: int) -> str | None:
    """The reason why the log cannot use `event`, or None.

    event: columns of `schema.EVENT`, absent or null if unknown.
    """
    user, item, kind = (
        identity(event.get(name)) or "" for name in ("user_id", "item_id", "event_type")
    )
    kind = kind.lower()
    timestamp, value = event.get("timestamp"), number(event.get("value"))
    received = event.get("received_at")
    received = timestamp if received is None else received
    position, propensity = event.get("position"), number(event.get("propensity"))
    ids = (user, item, *(identity(event.get(name)) or "" for name in ("event_id", "placement")))
    if not user:
        return "user_id is missing"
    if not kind:
        return "event_type is missing"
    if kind not in list(EventType):
        return f"unknown event_type '{kind}'"
    if not item and kind != EventType.SEARCH:
        return "item_id is missing"
    if (reason := id_refusal(*ids)) is not None:
        return reason
    if _long(event.get("query")):
        return _LONG_TEXT
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
    if kind == EventType.WATCH and value is not None and value < 0:
        return _NEGATIVE_WATCH
    if position is not None and not _whole(position):
        return "position is not a whole number"
    if propensity is not None and not 0 < propensity <= 1:
        return "propensity is not in (0, 1]"
    return None


#: SQL over the columns as typed by `validate_events`; `{now}` in µs.
EVENT_RULES: Final = f"""CASE
    WHEN error IS NOT NULL THEN error
    WHEN user_id IS NULL THEN 'user_id is missing'
    WHEN event_type IS NULL OR event_type = '' THEN 'event_type is missing'
    WHEN event_type NOT IN ({literals(list(EventType))})
        THEN 'unknown event_type ''' || event_type || ''''
    WHEN item_id IS NULL AND event_type <> '{EventType.SEARCH}' THEN 'item_id is missing'
    {_id_rules("user_id", "item_id", "given_id", "placement")}
    {_text_rules("query")}
    WHEN timestamp IS NULL THEN 'timestamp is missing or not a time'
    WHEN received_at IS NULL THEN 'received_at is not a time'
    WHEN timestamp < {EARLIEST} THEN '{_UNSET}'
    WHEN timestamp > {{now}} + {CLOCK_TOLERANCE} THEN 'timestamp is in the future'
    WHEN received_at > {{now}} + {CLOCK_TOLERANCE} THEN 'received_at is in the future'
    WHEN raw_value IS NOT NULL AND (value IS NULL OR NOT isfinite(value))
        THEN 'value is not a finite number'
    WHEN value IS NULL AND event_type IN ({literals(list(VALUED))})
        THEN 'a ' || event_type || ' has no value'
    WHEN event_type = '{EventType.WATCH}' AND value < 0 THEN '{_NEGATIVE_WATCH}'
    WHEN bad_position THEN 'position is not a whole number'
    WHEN raw_propensity IS NOT NULL AND (propensity IS NULL OR NOT isfinite(propensity)
        OR propensity <= 0 OR propensity > 1) THEN 'propensity is not in (0, 1]'
END"""


def item_refusal(item: Mapping[str, Any], now: int) -> str | None:
    """The reason why the catalogue cannot use `item`, or None.

    item: columns of `schema.ITEM`, absent or null if unknown.
    """
    item_id, price = identity(item.get("item_id")) or "", number(item.get("price"))
    available = item.get("available")
    created, received = item.get("created_at"), item.get("received_at")
    received = created if received is None else received
    if not item_id:
        return "item_id is missing"
    if (reason := id_refusal(item_id)) is not None:
        return reason
    if any(_long(item.get(name)) for name in _TEXTS):
        return _LONG_TEXT
    if price is not None and not (math.isfinite(price) and price >= 0):
        return PRICE
    if available is not None and not isinstance(available, bool):
        return FLAG
    if created is not None and not (
        isinstance(created, int) and FIRST_MOMENT <= created <= LAST_MOMENT
    ):
        return "created_at is not a time"
    if received is not None and not isinstance(received, int):
        return "received_at is not a time"
    if received is not None and received > now + CLOCK_TOLERANCE:
        return "received_at is in the future"
    return None


#: SQL over the columns as typed by `validate_items`; `{now}` in µs.
ITEM_RULES: Final = f"""CASE
    WHEN error IS NOT NULL THEN error
    WHEN item_id IS NULL THEN 'item_id is missing'
    {_id_rules("item_id")}
    {_text_rules(*_TEXTS)}
    WHEN raw_price IS NOT NULL AND (price IS NULL OR NOT isfinite(price) OR price < 0)
        THEN '{PRICE}'
    WHEN bad_flag THEN '{FLAG}'
    WHEN raw_created IS NOT NULL AND (created_at IS NULL
        OR created_at NOT BETWEEN {FIRST_MOMENT} AND {LAST_MOMENT}) THEN 'created_at is not a time'
    WHEN received_at IS NULL THEN 'received_at is not a time'
    WHEN received_at > {{now}} + {CLOCK_TOLERANCE} THEN 'received_at is in the future'
END"""


#: SQL over columns of `schema.USER`.
USER_RULES: Final = f"""CASE
    WHEN error IS NOT NULL THEN error
    WHEN user_id IS NULL THEN 'user_id is missing'
    {_id_rules("user_id")}
END"""


def _long(value: Any) -> bool:
    return isinstance(value, str) and (len(value) > LONGEST_TEXT or "\0" in value)


def _whole(value: Any) -> bool:
    return not isinstance(value, bool) and bool(re.fullmatch(r"[0-9]{1,9}([.]0*)?", str(value)))
