"""All column names and table schemas. Imports nothing of ours.

Ids are strings at every interface. Times are UTC microseconds. `timestamp` is when something
happened, `received_at` when it became known.
"""

from enum import StrEnum
from typing import Final

import pyarrow as pa

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")


class EventType(StrEnum):
    """What a user did. Token arrays store the position as a code, so only append entries."""

    IMPRESSION = "impression"
    CLICK = "click"
    VIEW = "view"
    CART = "cart"
    PURCHASE = "purchase"
    RATING = "rating"
    LIKE = "like"
    DISLIKE = "dislike"
    HIDE = "hide"
    SEARCH = "search"
    WATCH = "watch"


EVENT_CODES: Final[dict[str, int]] = {event_type: code for code, event_type in enumerate(EventType)}

#: Event types by which a user wants an item (`features.positive` says which of these events count).
POSITIVE: Final = (
    EventType.CLICK,
    EventType.VIEW,
    EventType.CART,
    EventType.PURCHASE,
    EventType.RATING,
    EventType.LIKE,
    EventType.WATCH,
)

#: Event types by which a user never wants to see an item again.
HIDING: Final = (EventType.HIDE, EventType.DISLIKE)

EVENT: Final = pa.schema(
    [
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("item_id", pa.string()),
        pa.field("event_type", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("query", pa.string()),
        pa.field("timestamp", TIMESTAMP, nullable=False),
        pa.field("received_at", TIMESTAMP, nullable=False),
        pa.field("placement", pa.string()),
        pa.field("request_id", pa.string()),
        pa.field("position", pa.int32()),
        pa.field("propensity", pa.float64()),
        pa.field("release", pa.string()),
    ]
)

ITEM: Final = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("title", pa.string()),
        pa.field("description", pa.string()),
        pa.field("categories", pa.list_(pa.string())),
        pa.field("price", pa.float64()),
        pa.field("available", pa.bool_(), nullable=False),
        pa.field("created_at", TIMESTAMP),
        pa.field("image", pa.string()),
        pa.field("audio", pa.string()),
        pa.field("attributes", pa.string()),
        pa.field("received_at", TIMESTAMP, nullable=False),
    ]
)

USER: Final = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("attributes", pa.string()),
    ]
)

#: Requests that were answered, each with the slate shown: `items`, `propensities` and `origins` by
#: slot. An origin is the earlier request that showed the slot, null for a new impression. context:
#: bytes of `features.requests.context`; arm: the side of a split of traffic, if there was one.
REQUEST: Final = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("timestamp", TIMESTAMP, nullable=False),
        pa.field("placement", pa.string(), nullable=False),
        pa.field("release", pa.string()),
        pa.field("generation", pa.int64()),
        pa.field("source", pa.string(), nullable=False),
        pa.field("fallback", pa.string()),
        pa.field("arm", pa.string()),
        pa.field("context", pa.binary(), nullable=False),
        pa.field("items", pa.list_(pa.string()), nullable=False),
        pa.field("propensities", pa.list_(pa.float64()), nullable=False),
        pa.field("origins", pa.list_(pa.string()), nullable=False),
    ]
)

#: Daily aggregates of a user, as of the last materialisation before the request.
USER_FEATURES: Final = (
    "user_events_1d",
    "user_events_7d",
    "user_events_30d",
    "user_impressions_7d",
    "user_clicks_7d",
    "user_mean_price_30d",
)

#: Daily aggregates of an item, as of the last materialisation before the request.
ITEM_FEATURES: Final = (
    "item_events_1d",
    "item_events_3d",
    "item_events_7d",
    "item_events_30d",
    "item_users_7d",
    "item_impressions_7d",
    "item_clicks_7d",
    "item_ctr_7d",
)

#: The windows, in days, that recency-popularity may use: `item_events_{n}d`.
POPULARITY_DAYS: Final = (1, 3, 7, 30)


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of `schema`. A column that did not exist when the table was written is null."""
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
