"""Events from clients are checked one by one and joined to the slots that were really shown."""

from typing import Any

import pytest

from features.ingest.refusals import CLOCK_TOLERANCE
from serving.feedback import check, join
from serving.feedback_log import Slot
from serving.signing import Signer

NOW = 1_704_067_200_000_000
SIGNER = Signer(b"key")


def sent(**changes: Any) -> dict[str, Any]:
    event = {"event_id": "e", "user_id": "u", "item_id": "i", "event_type": "click"}
    return {**event, "timestamp": NOW - 5, **changes}


def test_a_valid_event_becomes_a_row_with_both_times() -> None:
    (row,), rejected = check([sent()], SIGNER, NOW)
    assert not rejected
    assert (row["timestamp"], row["received_at"]) == (NOW - 5, NOW)
    assert row["request_id"] is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"event_type": "zoom"}, "event_type"),
        ({"event_type": "impression"}, "impressions are logged by the service"),
        ({"event_type": None}, "event_type"),
        ({"item_id": None}, "item_id is missing"),
        ({"user_id": ""}, "user_id"),
        ({"event_id": "a\0b"}, "control character"),
        ({"event_id": "impression:r:0"}, "begin with 'impression:' are reserved"),
        ({"event_id": "x" * 201}, "an id is longer than 200 characters"),
        ({"event_id": None}, "event_id is missing"),
        ({"item_id": "\ud800"}, "incomplete character"),
        ({"value": float("nan")}, "value"),
        ({"timestamp": NOW + CLOCK_TOLERANCE + 1}, "in the future"),
        ({"timestamp": -1}, "timestamp"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"request_id": "r.0123"}, "signature"),
        ({"request_id": "r"}, "signature"),
        ({"request_id": "." + "0" * 24}, "signature"),
        ({"request_id": "ü☃\ud800.é"}, "request_id"),
    ],
)
def test_an_invalid_event_is_set_aside_with_the_reason(
    changes: dict[str, Any], reason: str
) -> None:
    rows, (rejection,) = check([sent(**changes)], SIGNER, NOW)
    assert not rows
    assert reason in rejection.reason


@pytest.mark.parametrize("payload", [5, None, [], "text", {}])
def test_something_that_is_no_event_is_set_aside_and_its_neighbours_are_kept(payload: Any) -> None:
    rows, rejected = check([sent(), payload, sent(event_id="f")], SIGNER, NOW)
    assert [row["event_id"] for row in rows] == ["e", "f"]
    assert len(rejected) == 1


def test_a_clock_that_runs_a_little_ahead_is_set_back_to_now() -> None:
    (row,), _ = check([sent(timestamp=NOW + CLOCK_TOLERANCE)], SIGNER, NOW)
    assert row["timestamp"] == NOW


def test_an_outcome_inherits_from_the_slot_and_never_from_the_client() -> None:
    claim = sent(request_id=SIGNER.sign("r"), propensity=0.9, position=0, release="mine")
    rows, _ = check([claim], SIGNER, NOW)
    shown = {"r": {"i": Slot("u", "home", 4, 0.01, "abc", "r")}}
    (row,), rejected = join(rows, shown)
    assert not rejected
    assert (row["position"], row["propensity"], row["release"]) == (4, 0.01, "abc")
    assert row["request_id"] == "r"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"user_id": "thief"}, "another user"),
        ({"item_id": "other"}, "not in the slate"),
        ({"request_id": SIGNER.sign("unknown")}, "not in the log"),
    ],
)
def test_a_false_claim_on_a_slate_is_set_aside(changes: dict[str, Any], reason: str) -> None:
    rows, _ = check([sent(**{"request_id": SIGNER.sign("r"), **changes})], SIGNER, NOW)
    joined, (rejection,) = join(rows, {"r": {"i": Slot("u", "home", 0, 0.5, None, "r")}})
    assert not joined
    assert reason in rejection.reason


def test_ids_signed_with_another_key_are_not_ours() -> None:
    assert Signer(b"other").verify(SIGNER.sign("r")) is None
    assert SIGNER.verify(SIGNER.sign("a.b")) == "a.b"
