"""The cost of a write or a request does not grow with the stored data."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from features.splits.windowing import SplitParams
from serving import canaries, canary_evidence, catalogue_feed, channels, offsets, verdicts
from serving.database import connect, writing
from serving.feedback_log import FeedbackLog, Slate
from serving.served import served
from tests.serving.plans import recorded, scans
from tests.serving.test_feedback_log import T0, event, slate
from training.canary.params import CanaryParams

#: Tables that grow for as long as the service runs. (Dead letters are read from their newest on.)
GROWING = {"events", "requests", "slots", "items", "channel_moves"}
EVENTS = 20_000


def rolled(number: int) -> Slate:
    """A slate of a new state."""
    made = slate(f"r{number}", "i1", "i2")
    request = {**made.request, "state": f"s{number}", "drawn_at": T0 + number, "size": 2}
    return replace(made, request=request)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A database with many rows, for which SQLite has statistics."""
    folder: Path = tmp_path_factory.mktemp("full")
    engine = connect(f"sqlite:///{folder / 'rondo.db'}")
    log = FeedbackLog(engine)
    log.append(
        slates=[rolled(n) for n in range(5_000)],
        events=[
            event(f"e{n}", user_id=f"u{n % 500}", timestamp=T0 + n * 10**9) for n in range(EVENTS)
        ],
        dead=[
            {"event_id": f"d{n}", "reason": "bad", "payload": {}, "received_at": T0}
            for n in range(500)
        ],
    )
    rows = [{"item_id": f"i{n}", "title": f"Item {n}", "received_at": T0} for n in range(2_000)]
    catalogue_feed.upsert(engine, rows)
    for generation in range(50):
        channels.move(engine, "champion", f"r{generation}", generation, None, now=T0)
    with writing(engine) as connection:
        connection.exec_driver_sql("ANALYZE")
    yield engine
    engine.dispose()


def test_no_write_and_no_request_reads_a_table_that_grows_from_end_to_end(
    full: sa.Engine,
) -> None:
    log = FeedbackLog(full)
    with recorded(full) as plans:
        last = log.append(slates=[rolled(5_000)], events=[event("new")]).last_offset
        log.append(dead=[{"event_id": "x", "reason": "bad", "payload": {}, "received_at": T0}])
        assert log.users_after(last - 1) == {"u1"}
        log.recent(["u1", "u2"], 200, 3.0)
        log.slots_of(["r1", "r5000"])
        log.request("r1")
        assert log.newest("s7", T0) is not None
        assert sum(table.num_rows for table in served(full, log.read(last - 3, 100))) == 1
        log.last_offset()
        log.dead_letters(10)
        log.newest_requests(T0 + 10**6, 10)
        changed = {"item_id": "i1", "title": "Another", "received_at": T0}
        assert catalogue_feed.upsert(full, [changed]) == 1
        catalogue_feed.read(full, catalogue_feed.last_sequence(full) - 1)
        channels.read(full, "champion")
        channels.move(full, "champion", "r99", 50, None, now=T0)
        offsets.advance(full, {"feedback": 1})
        offsets.read(full, "feedback")
        verdicts.read(full, "r1")
    assert len(plans) > 20
    assert scans(plans, GROWING) == []


def test_a_look_at_a_canary_reads_what_is_new(full: sa.Engine) -> None:
    canary = canaries.start(full, canaries.CANARY, "r98", "r99", 0.2, now=T0)
    FeedbackLog(full).append(events=[event("after")])
    with recorded(full) as plans:
        canary_evidence.count(full, canary, CanaryParams(), SplitParams(), T0 + 10**15, None)
    assert len(plans) > 3
    assert scans(plans, GROWING) == []


def test_a_scan_of_a_table_that_grows_is_seen(full: sa.Engine) -> None:
    with recorded(full) as plans, full.connect() as connection:
        connection.execute(sa.text('SELECT DISTINCT user_id FROM events WHERE "offset" > 19990'))
    assert len(scans(plans, GROWING)) == 1
