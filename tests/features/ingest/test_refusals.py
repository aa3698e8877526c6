"""The service and the import refuse the same rows for the same reasons."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.ingest.refusals import event_refusal, item_refusal
from features.ingest.validate import validate_events, validate_items
from features.schema import EVENT, HOUR, ITEM
from tests.features.logs import START, at

NOW = at(20)
IDS = st.one_of(
    st.none(), st.sampled_from(["", "  ", "a", " b ", "i" * 200, "i" * 201, "a\tb", "a\nb", "\x7f"])
)
TIMES = st.sampled_from([None, -1, 0, START, NOW, NOW + HOUR])
EVENTS = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from([None, "e", "e" * 300, "e\n"]),
        "user_id": IDS,
        "item_id": IDS,
        "event_type": st.sampled_from([None, "", "click", " Rating ", "search", "watch", "stare"]),
        "value": st.sampled_from([None, 0.0, -3.5, float("nan"), float("inf")]),
        "timestamp": TIMES,
        "received_at": TIMES,
        "position": st.sampled_from([None, 0, 7, -1]),
        "propensity": st.sampled_from([None, 0.0, 0.5, 1.0, 1.5, float("nan")]),
    }
)
ITEMS = st.fixed_dictionaries(
    {
        "item_id": IDS,
        "price": st.sampled_from([None, 0.0, 2.5, -1.0, float("nan"), float("inf")]),
        "available": st.sampled_from([None, True, False]),
        "created_at": TIMES,
        "received_at": TIMES,
    }
)


def table(row: dict[str, Any], schema: pa.Schema) -> pa.Table:
    def kind(name: str) -> pa.DataType:
        declared = schema.field(name).type
        return pa.int64() if pa.types.is_timestamp(declared) else declared

    return pa.table({name: pa.array([value], kind(name)) for name, value in row.items()})


@settings(max_examples=150, deadline=None)
@given(EVENTS)
def test_an_event_is_refused_alike_by_the_service_and_by_the_import(event: dict[str, Any]) -> None:
    found = validate_events(table(event, EVENT), NOW).quarantine["reason"].to_pylist()
    assert found == [reason for reason in [event_refusal(event, NOW)] if reason is not None]


@settings(max_examples=100, deadline=None)
@given(ITEMS)
def test_an_item_is_refused_alike_by_the_service_and_by_the_import(item: dict[str, Any]) -> None:
    found = validate_items(table(item, ITEM), NOW).quarantine["reason"].to_pylist()
    assert found == [reason for reason in [item_refusal(item, NOW)] if reason is not None]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"event_type": "rating"}, "a rating has no value"),
        ({"event_type": "watch"}, "a watch has no value"),
        ({"event_type": "watch", "value": -1.0}, "the value of a watch is negative"),
        ({"event_type": "watch", "value": 0.0}, None),
        ({"event_type": "watch", "value": 273.5}, None),
        ({"item_id": "tab\tin it"}, "an id holds a line break, a tab or another control character"),
        ({"value": "much"}, "value is not a finite number"),
        ({"position": "first"}, "position is not a whole number"),
        ({}, None),
    ],
)
def test_the_reason_is_told(event: dict[str, Any], reason: str | None) -> None:
    row = {"user_id": "u", "item_id": "i", "event_type": "click", "timestamp": START} | event
    assert event_refusal(row, NOW) == reason


def test_a_negative_price_is_refused() -> None:
    assert item_refusal({"item_id": "i", "price": -1}, NOW) == "price is not a number of at least 0"
