"""The service and the import refuse the same rows with the same messages."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.ingest import store_events, store_items, validate_events
from features.ingest.refusals import VALUED
from features.schema import DAY, EVENT, HOUR, ITEM, MINUTE
from serving import catalogue_feed
from serving.feedback import check
from serving.signing import Signer

NOW = 20_000 * DAY + 12 * HOUR
SIGNER = Signer(b"key")
EVENT_ROW = {"event_id": "e", "user_id": "u", "item_id": "i", "event_type": "view"}

#: Every reason why an event or item that a client sends can be refused, with such a one.
EVENTS: list[tuple[dict[str, Any], str]] = [
    ({"user_id": None}, "user_id is missing"),
    ({"user_id": "  "}, "user_id is missing"),
    ({"event_type": None}, "event_type is missing"),
    ({"event_type": "zoom"}, "unknown event_type 'zoom'"),
    ({"item_id": None}, "item_id is missing"),
    ({"item_id": "i" * 300}, "an id is longer than 200 characters"),
    ({"item_id": "a\nb"}, "an id holds a line break, a tab or another control character"),
    ({"timestamp": "yesterday"}, "timestamp is missing or not a time"),
    ({"timestamp": NOW + HOUR}, "timestamp is in the future"),
    ({"timestamp": -NOW}, "timestamp is before 1971; it may be unset or in another unit"),
    ({"value": float("inf")}, "value is not a finite number"),
    *(({"event_type": str(kind)}, f"a {kind} has no value") for kind in VALUED),
]
ITEMS: list[tuple[dict[str, Any], str]] = [
    ({"item_id": ""}, "item_id is missing"),
    ({"item_id": "i" * 300}, "an id is longer than 200 characters"),
    ({"item_id": "a\tb"}, "an id holds a line break, a tab or another control character"),
    ({"price": -1.0}, "price is not a number of at least 0"),
    ({"price": float("nan")}, "price is not a number of at least 0"),
]


def table(row: dict[str, Any], schema: pa.Schema) -> pa.Table:
    """One row of a log's input: times as µs or as text, everything else of its own type."""

    def array(name: str, value: Any) -> pa.Array:
        declared = schema.field(name).type
        if pa.types.is_timestamp(declared):
            declared = pa.string() if isinstance(value, str) else pa.int64()
        return pa.array([value], declared)

    return pa.table({name: array(name, value) for name, value in row.items()})


@pytest.mark.parametrize(("changes", "reason"), EVENTS)
def test_an_event_is_refused_with_one_reason_at_both_doors(
    changes: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    event = {**EVENT_ROW, "timestamp": NOW - MINUTE, **changes}
    rows, rejected = check([event], SIGNER, NOW)
    assert (rows, [r.reason for r in rejected]) == ([], [reason])
    assert store_events(table(event, EVENT), tmp_path, 0, NOW).reasons == {reason: 1}


@pytest.mark.parametrize(("changes", "reason"), ITEMS)
def test_an_item_is_refused_with_one_reason_at_both_doors(
    changes: dict[str, Any], reason: str, tmp_path: Path, sqlite: sa.Engine
) -> None:
    item = {"item_id": "i", "title": "One", "received_at": NOW, **changes}
    with pytest.raises(catalogue_feed.RefusedItems, match=reason):
        catalogue_feed.upsert(sqlite, [{"item_id": "good", "received_at": NOW}, item])
    assert catalogue_feed.last_sequence(sqlite) == 0
    assert store_items(table(item, ITEM), tmp_path, 0, NOW).reasons == {reason: 1}


@pytest.mark.parametrize(
    "written",
    [
        NOW,
        NOW // 1_000,
        NOW // 1_000_000,
        NOW / 1_000_000,
        str(NOW // 1_000),
        "2024-10-04T12:00:00Z",
        "2024-10-04T14:00:00+02:00",
        "2024-10-04 12:00:00",
    ],
)
def test_a_time_is_read_by_its_magnitude_or_as_iso_event_by_event(written: Any) -> None:
    sent = [{**EVENT_ROW, "timestamp": written}, {**EVENT_ROW, "timestamp": NOW - HOUR}]
    rows, rejected = check(sent, SIGNER, NOW)
    assert not rejected
    assert [row["timestamp"] for row in rows] == [NOW, NOW - HOUR]


SENT = st.fixed_dictionaries(
    {
        "event_id": st.sampled_from(["e", "e" * 200, 5, None, "", "e\n"]),
        "user_id": st.sampled_from(["u", " u", "", "ü", None, 7]),
        "item_id": st.sampled_from(["i", "i ", None, "i\t"]),
        "event_type": st.sampled_from(["view", " Rating ", "search", "impression", "zoom", None]),
        "value": st.sampled_from([None, 0, -3.5, "4.5", "much", True, float("nan"), 10**400]),
        "timestamp": st.one_of(
            st.sampled_from([None, NOW, NOW // 1000, NOW // 10**6, "2024-10-04", "soon", True, 0]),
            st.integers(-(10**20), 10**20),
            st.floats(),
        ),
    }
)


@settings(max_examples=200, deadline=None)
@given(SENT)
def test_nothing_that_the_service_accepts_is_set_aside_later(event: dict[str, Any]) -> None:
    rows, rejected = check([event], SIGNER, NOW)
    assert len(rows) + len(rejected) == 1
    for row in rows:
        assert validate_events(table(row, EVENT), NOW).quarantine.num_rows == 0
        assert row["timestamp"] >= 100 * DAY  # nothing lands in 1970
