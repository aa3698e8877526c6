"""Properties of the schema that stored data depend on."""

import pyarrow as pa

from features.schema import EVENT_CODES, ITEM, conform


def test_the_codes_of_event_types_in_stored_histories_keep_their_meaning() -> None:
    first = (
        "impression", "click", "view", "cart", "purchase", "rating", "like", "dislike", "hide",
        "search", "watch",
    )  # fmt: skip
    assert [EVENT_CODES[name] for name in first] == list(range(len(first)))
    assert sorted(EVENT_CODES.values()) == list(range(len(EVENT_CODES)))


def test_a_table_of_before_a_column_gets_it_empty_and_loses_those_of_after() -> None:
    old = pa.table({"later": [1], "item_id": ["i"], "available": [True]})
    found = conform(old, ITEM)
    assert found.schema == ITEM
    assert found.to_pylist() == [dict.fromkeys(ITEM.names) | {"item_id": "i", "available": True}]
