"""When a slate of a canary counts, and which clicks count for it, on every database."""

from collections.abc import Sequence

import numpy as np
import pytest
import sqlalchemy as sa

from features.schema import DAY, MINUTE
from serving import canaries, canary_evidence, tables
from serving.feedback_log import FeedbackLog, Slate
from tests.serving.plans import recorded, scans
from tests.serving.test_canaries import LATER, PARAMS, RULES, click, served
from tests.serving.test_feedback_log import T0
from training.canary.evidence import Evidence


@pytest.fixture
def log(engine: sa.Engine) -> FeedbackLog:
    """An empty log beside a canary."""
    canaries.start(engine, "canary", "new", "old", 0.5, now=T0)
    return FeedbackLog(engine)


def shown_at(made: Slate, timestamp: int) -> Slate:
    impressions = [{**row, "timestamp": timestamp} for row in made.impressions]
    return Slate({**made.request, "timestamp": timestamp}, made.slots, impressions)


def look(log: FeedbackLog, now: int = LATER) -> Evidence:
    """Count as the next look would."""
    row = canaries.running(log.engine, "canary")
    assert row is not None
    return canary_evidence.count(log.engine, row, PARAMS, RULES, now, None)[1]


def totals(evidence: Evidence) -> list[float]:
    """Slates and clicks of the control, then of the canary."""
    found: list[float] = evidence.totals.tolist()
    return found


def test_a_click_that_is_sent_again_counts_once_however_the_log_is_cut(
    log: FeedbackLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary_evidence, "PART", 3)
    log.append([served("r1", "a", "canary", "i1", "i2")], [click("r1", "a", "i1")])
    look(log, T0 + MINUTE)
    for number in range(1, 8):
        log.append(events=[click("r1", "a", "i1", number)])
        look(log, T0 + number * MINUTE)
    assert totals(look(log)) == [0, 0, 1, 1]
    log.append(events=[click("r1", "a", "i1", 9), click("r1", "a", "i2", 10)])
    assert totals(look(log, LATER + DAY)) == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("after", "counts"), [(-1, 0), (0, 1), (RULES.attribution, 1), (RULES.attribution + 1, 0)]
)
def test_a_click_counts_within_the_attribution_window_of_training(
    log: FeedbackLog, after: int, counts: int
) -> None:
    late = click("r1", "a", "i1") | {"timestamp": T0 + after}
    log.append([served("r1", "a", "canary", "i1")], [late])
    assert totals(look(log, LATER + DAY)) == [0, 0, 1, counts]


def test_a_slate_counts_when_its_window_has_closed_and_not_before(
    log: FeedbackLog,
) -> None:
    """Else a release whose items are clicked at once would seem better than one whose items are
    clicked half an hour later."""
    log.append(
        [served("r1", "a", "canary", "i1"), served("r2", "b", "champion", "i1")],
        [click("r1", "a", "i1")],
    )
    early = look(log, LATER - 1)
    assert totals(early) == [0, 0, 0, 0]
    # Requests and who came are counted at once, so a failing canary need not wait.
    assert early.counts.requests.tolist() == [1, 1]
    assert early.arrivals.tolist() == [[1, 1]]
    log.append(events=[click("r2", "b", "i1") | {"timestamp": T0 + 59 * MINUTE}])
    late = look(log)
    assert totals(late) == [1, 1, 1, 1]
    assert late.arrivals.tolist() == [[1, 1]]
    assert late.counts.requests.tolist() == [1, 1]


def test_slates_after_an_open_one_wait_and_those_before_it_do_not(
    log: FeedbackLog,
) -> None:
    times = {"r1": T0, "r2": T0 + 5, "r3": T0 + 3}  # two workers, of which one committed later
    log.append([shown_at(served(name, name, "canary", "i1"), at) for name, at in times.items()])
    assert totals(look(log, LATER + 4)) == [0, 0, 1, 0]
    assert totals(look(log, LATER + 5)) == [0, 0, 3, 0]


def test_a_worker_whose_clock_is_days_ahead_holds_nothing_up(
    log: FeedbackLog,
) -> None:
    wrong = shown_at(served("r1", "a", "canary", "i1"), T0 + 30 * DAY)
    log.append([wrong, served("r2", "b", "champion", "i1")])
    assert totals(look(log)) == [1, 0, 1, 0]


def test_a_canary_that_an_older_version_counted_goes_on_where_it_was(
    log: FeedbackLog,
) -> None:
    """It had counted slates and clicks at once."""
    log.append([served("r1", "a", "canary", "i1")], [click("r1", "a", "i1")])
    look(log)
    with log.engine.begin() as connection:
        row = canaries.running(log.engine, "canary")
        assert row is not None
        content = canaries.evidence(log.engine, row).plain()
        del content["closed"]
        told = canaries._dump(Evidence.stored(content))
        connection.execute(sa.update(tables.canaries).values(evidence=told))
    log.append([served("r2", "b", "champion", "i1")], [click("r2", "b", "i1")])
    assert totals(look(log)) == [1, 1, 1, 1]


def test_slates_that_wait_cost_a_look_no_walk_through_a_table(
    sqlite: sa.Engine,
) -> None:
    log = FeedbackLog(sqlite)
    canaries.start(sqlite, "canary", "new", "old", 0.5, now=T0)
    slates: Sequence[Slate] = [served(f"r{n}", f"u{n}", "canary", f"i{n}") for n in range(500)]
    log.append(slates, [click(f"r{n}", f"u{n}", f"i{n}") for n in range(500)])
    look(log)
    with sqlite.begin() as connection:
        connection.exec_driver_sql("ANALYZE")
    open_now = shown_at(served("open", "u1", "canary", "i1"), T0 + MINUTE)
    log.append([served("closed", "u1", "canary", "i1"), open_now])
    with recorded(sqlite) as plans:
        found = look(log)
    assert totals(found) == [0, 0, 501, 500]
    growing = {"events", "requests", "slots", "canary_users", "canary_items", "canaries"}
    assert len(plans) >= 5
    assert scans(plans, growing) == []


def test_the_order_of_looks_and_clicks_changes_nothing(sqlite: sa.Engine) -> None:
    random = np.random.default_rng(4)
    log = FeedbackLog(sqlite)
    canaries.start(sqlite, "canary", "new", "old", 0.5, now=T0)
    expected = np.zeros((2, 2))
    for number in range(120):
        at, arm = T0 + number * MINUTE, int(random.integers(2))
        name = f"r{number}"
        user = f"u{arm}{number % 7}"
        made = served(name, user, ("champion", "canary")[arm], "i1", "i2")
        log.append([shown_at(made, at)])
        expected[arm, 0] += 1
        if random.random() < 0.5:
            delay = int(random.integers(0, 90)) * MINUTE
            expected[arm, 1] += delay <= RULES.attribution
            for again in range(int(random.integers(1, 4))):
                log.append(events=[click(name, user, "i2", again) | {"timestamp": at + delay}])
        look(log, at)
    found = look(log, T0 + DAY)
    assert totals(found) == expected.ravel().tolist()
    assert (found.products.diagonal() > 0).all()
