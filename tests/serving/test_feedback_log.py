"""The feedback log on every database."""

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from features.merge import UserHistory
from features.schema import EVENT_CODES
from serving import offsets
from serving.database import connect
from serving.feedback_log import OUTBOX, FeedbackLog, Slate
from serving.fences import Fence, Fenced
from serving.tables import leases

T0 = 1_704_067_200_000_000


def event(event_id: str, **changes: Any) -> dict[str, Any]:
    return {
        "event_id": event_id,
        "user_id": "u1",
        "item_id": "i1",
        "event_type": "click",
        "timestamp": T0,
        "received_at": T0,
        **changes,
    }


def request(request_id: str) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "user_id": "u1",
        "placement": "home",
        "timestamp": T0,
        "release": "abc",
        "generation": 1,
        "source": "trees",
        "fallback": None,
        "digest": "d",
        "context": b"\x00\xff",
    }


def slot(request_id: str, position: int, item_id: str) -> dict[str, Any]:
    return {
        "request_id": request_id,
        "position": position,
        "item_id": item_id,
        "propensity": 0.1 + position / 3,
        "score": None,
        "reasons": "[]",
    }


def slate(request_id: str, *item_ids: str) -> Slate:
    """A slate of these items, with its impressions."""
    slots = [slot(request_id, position, item_id) for position, item_id in enumerate(item_ids)]
    impressions = [
        event(
            f"impression:{request_id}:{row['position']}",
            item_id=row["item_id"],
            event_type="impression",
            request_id=request_id,
            position=row["position"],
            propensity=row["propensity"],
        )
        for row in slots
    ]
    return Slate(request(request_id), slots, impressions)


def shown(log: FeedbackLog) -> list[tuple[str, int, str]]:
    """(request id, position, item id) of every impression in the outbox, in order."""
    rows = log.read(0, 100).to_pylist()
    impressions = [row for row in rows if row["event_type"] == "impression"]
    return [(row["request_id"], row["position"], row["item_id"]) for row in impressions]


def test_events_come_back_as_they_were_sent_in_order(engine: sa.Engine) -> None:
    log = FeedbackLog(engine)
    rich = event("é☃", value=0.1, query="straße 🎷", position=3, propensity=1 / 3, item_id=None)
    log.append(events=[rich, event("E2"), event("e2")])
    table = log.read(0, 10)
    assert table.schema == OUTBOX
    assert table["offset"].to_pylist() == [1, 2, 3]
    assert table["event_id"].to_pylist() == ["é☃", "E2", "e2"]
    assert table["query"][0].as_py() == "straße 🎷"
    assert table["propensity"][0].as_py() == 1 / 3
    assert table["timestamp"].cast("int64").to_pylist() == [T0] * 3
    assert log.read(2, 10)["event_id"].to_pylist() == ["e2"]
    assert log.read(3, 10).num_rows == 0
    assert log.last_offset() == 3


def test_an_event_is_stored_once_when_sent_three_times(engine: sa.Engine) -> None:
    log = FeedbackLog(engine)
    first = log.append(events=[event("a"), event("a"), event("b")])
    second = log.append(events=[event("b", value=2.0), event("c")])
    assert first.events == {"a", "b"}
    assert second.events == {"c"}
    table = log.read(0, 10)
    assert table["event_id"].to_pylist() == ["a", "b", "c"]
    assert table["value"].to_pylist() == [None, None, None]
    assert table["offset"].to_pylist() == [1, 2, 3]


def test_a_request_that_is_already_logged_keeps_its_first_slate(engine: sa.Engine) -> None:
    log = FeedbackLog(engine)
    log.append([slate("r", "i1", "i2")])
    again = log.append([slate("r", "i9")])
    assert again.requests == frozenset()
    logged = log.request("r")
    assert logged is not None
    assert [s["item_id"] for s in logged[1]] == ["i1", "i2"]
    assert logged[0]["context"] == b"\x00\xff"
    assert log.slots_of(["r", "unknown"])["r"]["i2"].propensity == 0.1 + 1 / 3


def test_an_impression_is_logged_only_for_a_slot_that_was_shown(engine: sa.Engine) -> None:
    log = FeedbackLog(engine)
    log.append([slate("r", "i1")])
    again = log.append([slate("r", "i7", "i8", "i9"), slate("s", "i2")], [event("click")])
    assert again.events == {"impression:s:0", "click"}
    assert shown(log) == [("r", 0, "i1"), ("s", 0, "i2")]
    assert log.last_offset() == 3


@pytest.mark.parametrize("first", [["i1"], []], ids=["shorter", "empty"])
def test_of_two_slates_of_one_request_in_one_append_the_first_is_logged(
    engine: sa.Engine, first: list[str]
) -> None:
    log = FeedbackLog(engine)
    stored = log.append([slate("r", *first), slate("r", "i7", "i8")])
    logged = log.request("r")
    assert stored.requests == {"r"}
    assert logged is not None
    assert [s["item_id"] for s in logged[1]] == first
    assert [item_id for _, _, item_id in shown(log)] == first


def test_a_failing_append_stores_nothing_and_burns_no_offset(engine: sa.Engine) -> None:
    log = FeedbackLog(engine)
    log.append(events=[event("a")])
    with pytest.raises(sa.exc.SQLAlchemyError):
        log.append([slate("r", "i1")], [event("b"), event("c", user_id=None)])
    assert log.request("r") is None
    assert shown(log) == []
    log.append([slate("r", "i2")])
    assert shown(log) == [("r", 0, "i2")]
    assert log.read(0, 10)["offset"].to_pylist() == [1, 2]


def test_offsets_have_no_gaps_and_follow_commits_under_concurrent_writers(
    database_url: str,
) -> None:
    seen: list[int] = []
    reader_log = FeedbackLog(connect(database_url))
    done = threading.Event()
    failures: list[BaseException] = []

    def write(writer: int) -> None:
        log = FeedbackLog(connect(database_url))
        try:
            for n in range(15):
                # half of the ids collide with another writer's
                log.append(events=[event(f"{writer}-{n}"), event(f"shared-{n}")])
        except BaseException as failure:
            failures.append(failure)
        finally:
            log.engine.dispose()

    def follow() -> None:
        while not (done.is_set() and reader_log.last_offset() == len(seen)):
            seen.extend(reader_log.read(len(seen), 7)["offset"].to_pylist())

    reader = threading.Thread(target=follow)
    writers = [threading.Thread(target=write, args=(w,)) for w in range(4)]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    reader.join()
    reader_log.engine.dispose()
    assert not failures
    assert seen == list(range(1, 4 * 15 + 15 + 1))


def test_recent_gives_each_user_the_newest_positives_and_what_they_hid(engine: sa.Engine) -> None:
    log = FeedbackLog(engine)
    log.append(
        events=[
            event("1", timestamp=T0 + 3, item_id="late"),
            event("2", timestamp=T0 + 1, item_id="old"),
            event("3", timestamp=T0 + 2, item_id="mid", event_type="purchase"),
            event("4", timestamp=T0 + 9, item_id="shown", event_type="impression"),
            event("5", timestamp=T0, item_id="no", event_type="hide"),
            event("6", timestamp=T0 + 9, item_id=None, event_type="search"),
            event("7", user_id="u2", item_id="other"),
        ]
    )
    stars = {"user_id": "u3", "event_type": "rating"}
    log.append(events=[event(f"r{n}", item_id=f"i{n}", value=n, **stars) for n in (2.0, 4.0)])
    assert log.recent(["u3"], 9, min_rating=3.0)["u3"].items == ["i4.0"]
    assert log.recent(["u3"], 9)["u3"].items == ["i2.0", "i4.0"]
    recent = log.recent(["u1", "nobody"], 2)
    assert recent["u1"] == UserHistory(
        items=["mid", "late"],
        event_types=[EVENT_CODES["purchase"], EVENT_CODES["click"]],
        timestamps=[T0 + 2, T0 + 3],
        hidden=["no"],
    )
    assert recent["nobody"].items == []
    assert set(recent) == {"u1", "nobody"}


def test_a_hide_is_never_forgotten_for_newer_ones(engine: sa.Engine) -> None:
    log = FeedbackLog(engine)
    log.append(events=[event(f"{n}", item_id=f"i{n}", event_type="hide") for n in range(5)])
    assert log.recent(["u1"], 2)["u1"].hidden == [f"i{n}" for n in range(5)]


def test_users_after_names_those_whose_history_has_changed(engine: sa.Engine) -> None:
    log = FeedbackLog(engine)
    log.append(events=[event("1", user_id="old"), event("2"), event("3", event_type="hide")])
    log.append(events=[event("4", user_id="reader", event_type="impression")])
    assert log.users_after(1) == {"u1"}
    assert log.users_after(4) == set()


def test_dead_letters_keep_the_reason_and_whatever_was_sent(engine: sa.Engine) -> None:
    log = FeedbackLog(engine)
    event_id, payload = "bad\0id" + "x" * 500, {"event_id": "\ud800\0", "n": 1}
    log.append(
        dead=[
            {
                "event_id": event_id,
                "reason": "why \0\ud800",
                "payload": payload,
                "received_at": T0,
            }
        ]
    )
    (letter,) = log.dead_letters()
    assert letter["reason"] == "why ??"
    assert letter["payload"] == {"event_id": "\ud800\0", "n": 1}
    assert log.last_offset() == 0


def test_a_consumer_that_lost_its_lease_cannot_advance_its_offset(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(
            sa.insert(leases),
            {"name": "retrain", "holder": "b", "expires_at": T0, "fence": 2, "again": False},
        )
    offsets.advance(engine, {"ingest": 5}, Fence("retrain", 2))
    with pytest.raises(Fenced):
        offsets.advance(engine, {"ingest": 9, "log": 9}, Fence("retrain", 1))
    offsets.advance(engine, {"ingest": 3})
    assert offsets.read(engine, "ingest") == 5
    assert offsets.read(engine, "log") == 0
