"""The writer: commits are grouped, answers come only after them, and a full queue is reported."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from serving.feedback import Rejection
from serving.feedback_log import Appended, FeedbackLog, Row
from serving.metrics import Metrics
from serving.writer import Overloaded, Writer
from tests.serving.test_feedback_log import T0, event, shown, slate


class SlowLog(FeedbackLog):
    """A log whose commits wait for a gate, as those of a busy disk do."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__(engine)
        self.gate = threading.Event()
        self.gate.set()
        self.begun = threading.Event()
        self.commits = 0

    def append(self, *rows: Sequence[Row], **named: Sequence[Row]) -> Appended:
        self.begun.set()
        assert self.gate.wait(20)
        self.commits += 1
        return super().append(*rows, **named)


@pytest.fixture
def log(sqlite: sa.Engine) -> SlowLog:
    return SlowLog(sqlite)


@pytest.fixture
def pushed() -> list[Row]:
    return []


@pytest.fixture
def writer(log: SlowLog, pushed: list[Row]) -> Iterator[Writer]:
    writer = Writer(log, pushed.extend, Metrics(CollectorRegistry()), queue_size=8)
    yield writer
    log.gate.set()
    writer.close()


def outcome(event_id: str, **changes: Any) -> dict[str, Any]:
    return event(event_id, request_id=None, **changes)


def test_writes_that_wait_share_one_commit_and_each_gets_its_own_answer(
    writer: Writer, log: SlowLog, pushed: list[Row]
) -> None:
    log.gate.clear()
    first = writer.write_outcomes(T0, [outcome("a")], [])
    assert log.begun.wait(20)
    rest = [
        writer.write_outcomes(T0, [outcome("b"), outcome("a")], []),
        writer.write_outcomes(T0, [outcome("b")], [Rejection("bad", "why", {})]),
    ]
    assert not first.done()
    log.gate.set()
    assert (first.result(20).accepted, first.result(20).duplicates) == (1, 0)
    assert [(w.result(20).accepted, w.result(20).duplicates) for w in rest] == [(1, 1), (0, 1)]
    assert log.commits == 2
    assert [row["event_id"] for row in pushed] == ["a", "b"]
    assert [letter["event_id"] for letter in log.dead_letters()] == ["bad"]


def test_a_full_queue_refuses_instead_of_waiting(writer: Writer, log: SlowLog) -> None:
    log.gate.clear()
    writer.write_outcomes(T0, [outcome("first")], [])
    assert log.begun.wait(20)
    waiting = [writer.write_outcomes(T0, [outcome(f"e{n}")], []) for n in range(8)]
    with pytest.raises(Overloaded, match="too many"):
        writer.write_outcomes(T0, [outcome("one too many")], [])
    log.gate.set()
    assert all(write.result(20).accepted == 1 for write in waiting)


def test_one_write_that_fails_does_not_fail_its_neighbours(writer: Writer, log: SlowLog) -> None:
    log.gate.clear()
    blocker = writer.write_outcomes(T0, [outcome("first")], [])
    assert log.begun.wait(20)
    good = writer.write_outcomes(T0, [outcome("good")], [])
    bad = writer.write_outcomes(T0, [outcome("bad", user_id=None)], [])
    log.gate.set()
    assert blocker.result(20).accepted == 1
    assert good.result(20).accepted == 1
    with pytest.raises(sa.exc.IntegrityError):
        bad.result(20)
    assert log.read(0, 10)["event_id"].to_pylist() == ["first", "good"]


def test_a_request_that_is_repeated_in_one_group_is_logged_and_answered_once(
    writer: Writer, log: SlowLog
) -> None:
    log.gate.clear()
    blocker = writer.write_outcomes(T0, [outcome("first")], [])
    assert log.begun.wait(20)
    both = [writer.write_slate(T0, slate("r", *items)) for items in (["i1"], ["i7", "i8"])]
    log.gate.set()
    assert blocker.result(20).accepted == 1
    assert [write.result(20).new_request for write in both] == [True, False]
    assert shown(log) == [("r", 0, "i1")]
    assert log.commits == 2


def test_a_slate_whose_first_write_failed_is_logged_by_the_next(
    writer: Writer, log: SlowLog
) -> None:
    log.gate.clear()
    writer.write_outcomes(T0, [outcome("first")], [])
    assert log.begun.wait(20)
    broken = slate("r", "i1", "i2")
    bad = writer.write_slate(T0, replace(broken, slots=[*broken.slots, broken.slots[0]]))
    good = writer.write_slate(T0, slate("r", "i9"))
    log.gate.set()
    with pytest.raises(sa.exc.IntegrityError):
        bad.result(20)
    assert good.result(20).new_request
    assert shown(log) == [("r", 0, "i9")]


def test_a_client_that_gives_up_does_not_stop_the_writer(writer: Writer, log: SlowLog) -> None:
    log.gate.clear()
    given_up = writer.write_outcomes(T0, [outcome("a")], [])
    assert log.begun.wait(20)
    given_up.cancel()
    log.gate.set()
    assert writer.write_outcomes(T0, [outcome("b")], []).result(20).accepted == 1
    assert log.read(0, 10)["event_id"].to_pylist() == ["a", "b"]


def test_a_database_that_is_away_is_no_error_of_the_client(sqlite: sa.Engine) -> None:
    registry = CollectorRegistry()
    writer = Writer(FeedbackLog(sqlite), lambda _: None, Metrics(registry))
    with sqlite.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE events RENAME TO gone")
    with pytest.raises(Overloaded, match="not available"):
        writer.write_outcomes(T0, [outcome("a")], []).result(20)
    with sqlite.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE gone RENAME TO events")
    assert writer.write_outcomes(T0, [outcome("a")], []).result(20).accepted == 1
    writer.close()


def test_a_store_that_does_not_take_the_history_loses_no_event(sqlite: sa.Engine) -> None:
    def refuse(_: Sequence[Row]) -> None:
        raise ConnectionError("the online store is away")

    registry = CollectorRegistry()
    log = FeedbackLog(sqlite)
    writer = Writer(log, refuse, Metrics(registry))
    assert writer.write_outcomes(T0, [outcome("a")], []).result(20).accepted == 1
    writer.close()
    assert log.last_offset() == 1
    assert registry.get_sample_value("rondo_failures_total", {"what": "push"}) == 1


def test_closing_commits_what_waits(log: SlowLog) -> None:
    writer = Writer(log, lambda _: None, Metrics(CollectorRegistry()))
    writes = [writer.write_outcomes(T0, [outcome(f"e{n}")], []) for n in range(20)]
    writer.close()
    assert all(write.result(0).accepted == 1 for write in writes)
    with pytest.raises(Overloaded, match="stopping"):
        writer.write_outcomes(T0, [outcome("late")], [])
