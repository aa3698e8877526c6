"""Canaries as every worker and every look sees them, on every database."""

import numpy as np
import pytest
import sqlalchemy as sa

from features.schema import EventType
from features.splits.windowing import SplitParams
from serving import canaries, canary_evidence, channels, tables
from serving.arms import Assigned, assign, place
from serving.canaries import CanaryError
from serving.feedback_log import FeedbackLog, Slate
from serving.fences import Fence, Fenced
from tests.serving.plans import recorded, scans
from tests.serving.test_feedback_log import T0, event, slate
from training.canary.evidence import contribution
from training.canary.params import CanaryParams

PARAMS = CanaryParams(slow_milliseconds=100.0)
RULES = SplitParams()
#: When the time for clicks of everything at T0 has passed.
LATER = T0 + RULES.attribution


def served(request_id: str, user: str, arm: str, *items: str, **columns: object) -> Slate:
    """A slate of an arm of the first canary."""
    made = slate(request_id, *items)
    release = "new" if arm == "canary" else "old"
    named = {"user_id": user, "arm": arm, "canary": 1, "phase": 0, "seconds": 0.01}
    request = {**made.request, "release": release, **named, **columns}
    shown = [{**impression, "user_id": user} for impression in made.impressions]
    return Slate(request, made.slots, shown)


def click(request_id: str, user: str, item: str, number: int = 0) -> dict[str, object]:
    return event(
        f"click-{request_id}-{item}-{number}",
        user_id=user,
        item_id=item,
        event_type=EventType.CLICK,
        request_id=request_id,
    )


def test_a_canary_starts_grows_and_ends_by_compare_and_swap(engine: sa.Engine) -> None:
    first = canaries.start(engine, "canary", "new", "old", 0.1, now=5)
    assert (first.number, first.share, first.phase, first.offset) == (1, 0.1, 0, 0)
    with pytest.raises(CanaryError, match="is running: stop it first"):
        canaries.start(engine, "canary", "other", "old", 0.1, now=6)
    shadow = canaries.start(engine, "shadow", "other", "old", 1.0, now=6)
    grown = canaries.grow(engine, first, 0.2, None)
    assert (grown.share, grown.phase, grown.salt) == (0.2, 1, first.salt)
    assert canaries.evidence(engine, grown).shares == (0.1, 0.2)
    with pytest.raises(CanaryError, match="changed canary 1 just now"):
        canaries.grow(engine, first, 0.4, None)
    ended = canaries.finish(engine, grown, "rolled back", "worse", None, now=9)
    assert (ended.state, ended.reason, ended.ended_at) == ("rolled back", "worse", 9)
    assert canaries.running(engine, "canary") is None
    assert canaries.running(engine, "shadow") == shadow
    again = canaries.start(engine, "canary", "newer", None, 0.5, now=10)
    assert again.number == 2
    assert again.salt != first.salt
    assert [c.state for c in canaries.latest(engine, "canary")] == ["running", "rolled back"]


@pytest.mark.parametrize(("release", "share"), [("old", 0.1), ("new", 0.0), ("new", 1.5)])
def test_a_canary_that_makes_no_sense_is_refused(
    sqlite: sa.Engine, release: str, share: float
) -> None:
    with pytest.raises(CanaryError):
        canaries.start(sqlite, "canary", release, "old", share, now=1)


def test_a_writer_that_lost_its_lease_changes_no_canary(engine: sa.Engine) -> None:
    canary = canaries.start(engine, "canary", "new", None, 0.1, now=1)
    late = Fence("canary", 1)
    FeedbackLog(engine).append(slates=[served("r1", "u", "canary", "i1")])
    for change in (
        lambda: canaries.grow(engine, canary, 0.2, late),
        lambda: canaries.finish(engine, canary, "stopped", "", late, now=2),
        lambda: canary_evidence.count(engine, canary, PARAMS, RULES, LATER, late),
    ):
        with pytest.raises(Fenced):
            change()
    assert canaries.newest(engine, "canary") == canary


def test_after_three_loads_that_did_not_end_no_worker_loads_it(engine: sa.Engine) -> None:
    canary = canaries.start(engine, "canary", "new", None, 0.1, now=1)
    begun = [canaries.begin_loading(engine, canary, now) for now in range(10, 14)]
    assert begun == [True, True, True, False]
    found = canaries.newest(engine, "canary")
    assert found is not None
    assert (found.loading, found.loading_at) == (3, 12)
    canaries.loaded(engine, canary)
    assert canaries.begin_loading(engine, canary, 20)


def test_a_release_that_was_rolled_back_as_a_canary_is_withdrawn_until_it_is_promoted(
    engine: sa.Engine,
) -> None:
    channels.move(engine, "champion", "old", 0, None, now=1)
    stopped = canaries.start(engine, "canary", "fine", "old", 0.1, now=2)
    canaries.finish(engine, stopped, "stopped", "by hand", None, now=3)
    bad = canaries.start(engine, "canary", "bad", "old", 0.1, now=4)
    canaries.finish(engine, bad, "rolled back", "worse", None, now=5)
    assert channels.withdrawn(engine, "champion") == {"bad"}
    channels.move(engine, "champion", "bad", 1, None, now=6)
    assert channels.withdrawn(engine, "champion") == set()


def test_a_larger_share_keeps_the_users_that_the_canary_has(sqlite: sa.Engine) -> None:
    small = canaries.start(sqlite, "canary", "new", None, 0.1, now=1)
    large = canaries.grow(sqlite, small, 0.3, None)
    users = [f"u{n}" for n in range(5_000)]
    inside = [{u for u in users if assign(c, u).arm == "canary"} for c in (small, large)]
    assert inside[0] < inside[1]
    assert [len(users_of) / 5_000 for users_of in inside] == pytest.approx([0.1, 0.3], abs=0.02)
    assert assign(large, "u1") == Assigned(assign(large, "u1").arm, 1, 1)


def test_places_are_even_and_differ_between_salts() -> None:
    one, two = (np.array([place(salt, f"u{n}") for n in range(4_000)]) for salt in "ab")
    assert np.histogram(one, 10, (0, 1))[0].min() > 320
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05
    assert place("a", "u1") == one[1]  # the same in every process: a fixed number
    assert one[1] == pytest.approx(0.1958692, abs=1e-7)


def test_the_log_is_counted_by_arm_and_user(engine: sa.Engine) -> None:
    log = FeedbackLog(engine)
    log.append(slates=[served("before", "a", "canary", "i1", canary=None)])
    canary = canaries.start(engine, "canary", "new", "old", 0.5, now=1)
    log.append(
        slates=[
            served("r1", "a", "canary", "i1", "i2", "i3"),
            served("r2", "a", "canary", "i1", "i2", "i4"),
            served("r3", "b", "champion", "i1", "i2", "i3", seconds=0.2),
            served("r4", "c", "canary", "i9", release="old"),  # the champion had to answer
            served("r5", "d", "canary", "i9", canary=7),  # of another canary
        ],
        events=[
            click("r1", "a", "i2"),
            click("r1", "a", "i2", 1),
            click("r3", "b", "i1"),
            click("before", "a", "i1"),
            click("r2", "a", "i4"),
        ],
    )
    canary, found = canary_evidence.count(engine, canary, PARAMS, RULES, LATER, None)
    assert canary.offset == log.last_offset()
    # control, then canary: slates, clicks
    assert found.totals.tolist() == [1, 1, 3, 2]
    assert found.arrivals.tolist() == [[1, 2]]
    assert found.counts.requests.tolist() == [1, 3]
    assert found.counts.failed.tolist() == [0, 1]
    assert found.counts.slow.tolist() == [1, 0]
    assert found.counts.slots.tolist() == [3, 7]
    assert found.counts.pairs.tolist() == [0, 4]  # i1 and i2, twice each
    log.append(slates=[served("r6", "a", "canary", "i1")])
    canary, found = canary_evidence.count(engine, canary, PARAMS, RULES, LATER, None)
    assert found.totals.tolist() == [1, 1, 4, 2]
    assert found.products[2:, 2:].tolist() == [[10, 6], [6, 4]]
    assert found.counts.pairs.tolist() == [0, 8]
    assert canaries.evidence(engine, canary).plain() == found.plain()


def test_counting_in_parts_and_after_a_growth_is_counting_at_once(
    sqlite: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(2)
    canary = canaries.start(sqlite, "canary", "new", "old", 0.5, now=1)
    log, raw = FeedbackLog(sqlite), np.zeros((20, 4, 2))
    for phase in (0, 1):
        for number in range(60):
            user, arm = int(random.integers(20)), int(random.integers(2))
            name = f"p{phase}-{number}"
            kind = ("champion", "canary")[arm]
            log.append(slates=[served(name, f"u{user}", kind, "i1", "i2", phase=phase)])
            raw[user, 2 * phase + arm, 0] += 1
            if random.random() < 0.4:
                log.append(events=[click(name, f"u{user}", "i2")])
                raw[user, 2 * phase + arm, 1] += 1
        if phase == 0:
            canary = canaries.grow(sqlite, canary, 0.7, None)
    monkeypatch.setattr(canary_evidence, "PART", 7)
    canary, found = canary_evidence.count(sqlite, canary, PARAMS, RULES, LATER, None)
    values = contribution(raw, PARAMS)
    assert np.allclose(found.totals, values.sum(axis=0))
    assert np.allclose(found.products, values.T @ values)
    canaries.finish(sqlite, canary, "stopped", "", None, now=3)
    with sqlite.connect() as connection:
        for table in (tables.canary_users, tables.canary_items):
            assert connection.execute(sa.select(sa.func.count()).select_from(table)).scalar() == 0


def test_a_look_reads_no_table_from_end_to_end(sqlite: sa.Engine) -> None:
    log = FeedbackLog(sqlite)
    canary = canaries.start(sqlite, "canary", "new", "old", 0.5, now=T0)
    log.append(
        slates=[served(f"r{n}", f"u{n}", "canary", f"i{n}") for n in range(500)],
        events=[click(f"r{n}", f"u{n}", f"i{n}") for n in range(500)],
    )
    canary, _ = canary_evidence.count(sqlite, canary, PARAMS, RULES, LATER, None)
    with sqlite.begin() as connection:
        connection.exec_driver_sql("ANALYZE")
    log.append(slates=[served("last", "u1", "canary", "i1")])
    growing = {"events", "requests", "slots", "canary_users", "canary_items", "canaries"}
    with recorded(sqlite) as plans:
        canaries.running(sqlite, "canary")
        canaries.begin_loading(sqlite, canary, 1)
        canaries.loaded(sqlite, canary)
        canary, _ = canary_evidence.count(sqlite, canary, PARAMS, RULES, LATER, None)
        canaries.grow(sqlite, canary, 0.6, None)
    assert len(plans) >= 10
    assert scans(plans, growing) == []
