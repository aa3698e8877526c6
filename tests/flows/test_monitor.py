"""When the monitor asks for a retrain."""

import math
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from features.schema import DAY, HOUR
from flows import monitor
from flows.consumers import EVENTS, RETRAINED
from flows.monitor import Signs, fall, stability_index
from flows.retrain_params import RetrainParams
from serving import offsets
from serving.feedback_log import FeedbackLog
from tests.serving.plans import recorded, scans

NOON = 19_800 * DAY + 12 * HOUR


def test_the_stability_index_of_a_hand_drawn_shift() -> None:
    # two bins: half of the old events on one item, the other half on a second one
    before, now = np.array([500.0, 500.0]), np.array([800.0, 200.0])
    expected = (0.8 - 0.5) * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    assert stability_index(before, now, 200, bins=2) == pytest.approx(expected)
    assert stability_index(before, before * 3, 200, bins=2) == pytest.approx(0.0)
    assert stability_index(before, np.array([3.0, 1.0]), 200) is None


def test_the_fall_of_the_click_through_rate() -> None:
    slots = {
        ("impression", False): 10_000,
        ("click", False): 1_000,
        ("impression", True): 2_000,
        ("click", True): 120,
    }
    assert fall(slots, 1_000) == pytest.approx(0.4)
    assert fall(slots | {("impression", True): 900}, 1_000) is None
    assert fall(slots | {("click", False): 0}, 1_000) is None


def test_only_signs_beyond_their_limit_start_a_retrain() -> None:
    params = RetrainParams(feedback=100, fresh=0, drift=0.2, decay=0.3)
    assert Signs(99, 0.1, None).events(params) == {}
    assert Signs(100, None, 0.35).events(params) == {monitor.FEEDBACK: 100, monitor.DECAY: 0.35}


def test_drift_waits_for_feedback_that_no_retrain_has_seen() -> None:
    params = RetrainParams(feedback=100, fresh=50, drift=0.2, decay=0.3)
    assert Signs(49, 0.5, 0.5).events(params) == {}
    assert set(Signs(50, 0.5, 0.5).events(params)) == {monitor.DRIFT, monitor.DECAY}


def test_events_count_as_new_until_a_retrain_has_seen_them(engine: sa.Engine) -> None:
    rows = [
        {
            "event_id": f"e{n}",
            "user_id": "u",
            "item_id": f"i{n % 5}",
            "event_type": "view",
            "timestamp": NOON - (n % 6) * DAY,
            "received_at": NOON,
        }
        for n in range(600)
    ]
    assert monitor.look(engine, RetrainParams()) == Signs(0, None, None)
    last = FeedbackLog(engine).append(events=rows).last_offset
    assert monitor.look(engine, RetrainParams()).new_events == 600
    offsets.advance(engine, {EVENTS: last})
    assert monitor.look(engine, RetrainParams()).new_events == 600
    offsets.advance(engine, {RETRAINED: last})
    assert monitor.look(engine, RetrainParams()).new_events == 0


def chosen(item_id: str, count: int, day: int) -> list[dict[str, Any]]:
    """Organic views of an item, `day` days before NOON."""
    return [
        {
            "event_id": f"{item_id}-{day}-{n}",
            "user_id": "u",
            "item_id": item_id,
            "event_type": "view",
            "timestamp": NOON - day * DAY,
            "received_at": NOON,
        }
        for n in range(count)
    ]


def shown(kind: str, count: int, day: int) -> list[dict[str, Any]]:
    """Impressions or clicks of slots, `day` days before NOON."""
    rows = chosen("i", count, day)
    return [
        row | {"event_id": f"{kind}-{day}-{n}", "event_type": kind, "request_id": f"r{n}"}
        for n, row in enumerate(rows)
    ]


def test_drift_and_decay_have_the_values_of_the_last_day_against_the_week_before(
    engine: sa.Engine,
) -> None:
    # Three quarters on a and a quarter on b, then the other way round; the day itself is old.
    organic = [
        *chosen("a", 150, 7), *chosen("a", 150, 1), *chosen("b", 100, 2),
        *chosen("a", 100, 0), *chosen("b", 300, 0),
        *chosen("c", 900, 8), *chosen("c", 900, 30),  # too long ago to count
    ]  # fmt: skip
    # A rating below the least is no choice.
    organic += [row | {"event_type": "rating", "value": 2.0} for row in chosen("d", 900, 0)]
    slots = [
        *shown("impression", 1_500, 3), *shown("click", 150, 3),
        *shown("impression", 1_000, 0), *shown("click", 60, 0),
        *shown("impression", 2_000, 8), *shown("hide", 500, 0),
    ]  # fmt: skip
    log = FeedbackLog(engine)
    log.append(events=organic)
    last = log.append(events=slots).last_offset
    offsets.advance(engine, {RETRAINED: last - 7})
    signs = monitor.look(engine, RetrainParams(), min_rating=3.0)
    assert signs.new_events == 7
    assert signs.drift == pytest.approx(math.log(3))  # 2 · (3/4 − 1/4) · ln(3/4 : 1/4)
    assert signs.decay == pytest.approx(1 - 0.06 / 0.1)


def test_a_look_reads_the_last_days_only(sqlite: sa.Engine) -> None:
    log = FeedbackLog(sqlite)
    for day in range(100):
        log.append(events=[*chosen("a", 20, day), *shown("impression", 20, day)])
    with sqlite.begin() as connection:
        connection.exec_driver_sql("ANALYZE")
    with recorded(sqlite) as plans:
        assert monitor.look(sqlite, RetrainParams()).new_events == 4_000
    assert len(plans) == 5
    assert scans(plans, {"events"}) == []
