"""What a look does to canary and champion, and that it can be killed anywhere."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from base.settings import Settings
from features.schema import DAY, SECOND
from flows import canary, canary_bots, monitor
from flows.canary import look
from flows.lease import lease, wall_clock
from flows.rollout import CHANNEL, Rollout
from serving import canaries, canary_evidence, channels, set_aside, tables, verdicts
from serving.canaries import Canary
from serving.channels import Channel
from serving.feedback_log import FeedbackLog
from tests.serving.test_canaries import click, served
from tests.serving.test_feedback_log import event
from training.canary.params import CanaryParams

NOW = 19_800 * DAY
PARAMS = CanaryParams(min_slots=10)


def started(engine: sa.Engine, control: str | None = "old", share: float = 0.2) -> Canary:
    if control is not None:
        channels.move(engine, CHANNEL, control, 0, None, now=NOW)
    return canaries.start(engine, "canary", "new", control, share, now=NOW)


def traffic(engine: sa.Engine, control: float, canary: float, phase: int = 0) -> None:
    """400 users in each arm with one slate each, of whom these shares click."""
    slates, clicks = [], []
    for arm, share in (("champion", control), ("canary", canary)):
        for n in range(400):
            name = f"{arm}-{phase}-{n}"
            slates.append(served(name, name, arm, f"i{n}", phase=phase))
            if n < share * 400:
                clicks.append(click(name, name, f"i{n}"))
    FeedbackLog(engine).append(slates=slates, events=clicks)


def test_a_canary_that_earns_more_becomes_the_champion(engine: sa.Engine) -> None:
    started(engine, share=0.5)
    traffic(engine, 0.2, 0.6)
    looked = look(engine, PARAMS, NOW + DAY, None)
    assert looked is not None
    assert looked.canary.state == "promoted"
    assert channels.read(engine, CHANNEL) == Channel("new", 2)
    reason = channels.history(engine, CHANNEL)[0].reason
    assert reason.startswith("canary: its reward is at most 5% below the control's")
    assert channels.rollback(engine, CHANNEL, now=NOW).release == "old"


def swarm(engine: sa.Engine, arm: str, haste: float) -> None:
    """40 bots in one arm that click both items of each of 20 slates, with `haste` seconds between
    two clicks."""
    for n in range(40):
        slates, clicks = [], []
        for k in range(20):
            name, items = f"s{n}-{k}", [f"x{n}-{k}", f"y{n}-{k}"]
            slates.append(served(name, f"bot{n}", arm, *items))
            for at, item in enumerate(items):
                moment = NOW + round((2 * k + at + n) * haste * SECOND)
                times = {"timestamp": moment, "received_at": moment}
                clicks.append(click(name, f"bot{n}", item) | times)
        FeedbackLog(engine).append(slates=slates, events=clicks)


def readers(engine: sa.Engine) -> None:
    """People of both arms read on, so that the detectors know how people go from item to item."""
    FeedbackLog(engine).append(
        events=[
            event(
                f"read-{arm}-{n}-{k}",
                user_id=f"{arm}-0-{n}",
                item_id=f"i{n + k}",
                timestamp=NOW + 20 * k * SECOND,
                received_at=NOW + 20 * k * SECOND,
            )
            for arm in ("champion", "canary")
            for n in range(30)
            for k in range(25)
        ]
    )


def test_a_swarm_of_bots_in_one_arm_does_not_decide(engine: sa.Engine) -> None:
    row = started(engine, share=0.5)
    traffic(engine, 0.3, 0.3)
    readers(engine)
    swarm(engine, "canary", haste=0.3)
    looked = look(engine, PARAMS, NOW + DAY, None)
    assert looked is not None
    assert looked.canary.running
    assert looked.evidence is not None
    assert looked.evidence.by_arm().tolist() == [400, 400]
    with engine.connect() as connection:
        aside = connection.execute(sa.select(tables.set_aside.c.user_id)).scalars().all()
    assert set(aside) == {f"bot{n}" for n in range(40)}
    assert canaries.evidence(engine, row).by_arm().tolist() == [400, 440]


def test_whom_a_retrain_set_aside_is_left_out_until_it_says_otherwise(engine: sa.Engine) -> None:
    row = started(engine, share=0.5)
    traffic(engine, 0.3, 0.3)
    swarm(engine, "champion", haste=400)
    row, found = canary_evidence.count(engine, row, PARAMS, canary.rules(), NOW + DAY, None)
    everybody = canary_evidence.of_people(engine, row, found, PARAMS)
    assert everybody.plain() == found.plain()
    set_aside.replace(engine, [(f"bot{n}", NOW, "told so") for n in range(40)], None)
    people = canary_evidence.of_people(engine, row, found, PARAMS)
    assert people.totals.tolist() == [400, 120, 400, 120]
    assert people.arrivals.tolist() == [[400, 400]]
    set_aside.replace(engine, [], None)
    again = canary_evidence.of_people(engine, row, found, PARAMS)
    assert again.plain() == found.plain()


def test_who_is_set_aside_is_read_from_the_split(tmp_path: Path) -> None:
    rows = [("u2", NOW, "one"), ("u1", NOW + 1, "two")]
    users, since, reasons = (list(column) for column in zip(*rows, strict=True))
    columns = {"user_id": users, "set_aside_from": since, "reason": reasons}
    pq.write_table(pa.table(columns), tmp_path / "people.parquet")
    assert set_aside.found(tmp_path) == rows
    pq.write_table(pa.table(columns).slice(0, 0), tmp_path / "people.parquet")
    assert set_aside.found(tmp_path) == []


def test_a_canary_that_earns_less_is_rolled_back_and_withdrawn(engine: sa.Engine) -> None:
    started(engine, share=0.5)
    traffic(engine, 0.6, 0.2)
    looked = look(engine, PARAMS, NOW + DAY, None)
    assert looked is not None
    assert (looked.canary.state, looked.canary.ended_at) == ("rolled back", NOW + DAY)
    assert channels.read(engine, CHANNEL) == Channel("old", 1)
    assert channels.withdrawn(engine, CHANNEL) == {"new"}
    assert look(engine, PARAMS, NOW + DAY, None) is None


def test_a_first_release_grows_against_recency_popularity_and_becomes_the_champion(
    engine: sa.Engine,
) -> None:
    started(engine, control=None, share=0.5)
    traffic(engine, 0.3, 0.3)
    looked = look(engine, PARAMS, NOW + DAY, None)
    assert looked is not None
    assert looked.canary.running
    assert looked.look is not None
    assert looked.look.missing is not None
    assert looked.look.missing > 1_000
    traffic(engine, 0.3, 0.9, phase=0)  # the same users again
    for n in range(2, 6):
        extra = [served(f"x{n}-{i}", f"x{n}-{i}", "canary", "i1", phase=0) for i in range(300)]
        rest = [served(f"y{n}-{i}", f"y{n}-{i}", "champion", "i2", phase=0) for i in range(300)]
        FeedbackLog(engine).append(
            slates=[*extra, *rest],
            events=[click(s.request_id, s.request_id, "i1") for s in extra[:250]]
            + [click(s.request_id, s.request_id, "i2") for s in rest[:90]],
        )
    looked = look(engine, CanaryParams(diversity_ratio=0.0, min_slots=1_000), NOW + 2 * DAY, None)
    assert looked is not None
    assert looked.canary.state == "promoted"
    assert channels.read(engine, CHANNEL) == Channel("new", 1)


def test_a_canary_whose_champion_went_ends_without_a_judgement(engine: sa.Engine) -> None:
    started(engine)
    channels.move(engine, CHANNEL, "other", 1, None, now=NOW)
    looked = look(engine, PARAMS, NOW, None)
    assert looked is not None
    assert looked.canary.state == "stopped"
    assert channels.withdrawn(engine, CHANNEL) == set()


def test_a_canary_that_no_worker_can_load_is_rolled_back(engine: sa.Engine) -> None:
    row = started(engine)
    for _ in range(3):
        canaries.begin_loading(engine, row, NOW)  # long ago, by the real clock
    looked = look(engine, PARAMS, NOW, None)
    assert looked is not None
    assert looked.canary.state == "rolled back"
    assert "3 times a worker began to load it" in looked.canary.reason


def test_a_champion_that_moves_during_a_look_is_not_replaced_and_the_next_look_ends_the_canary(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(engine, share=0.5)
    traffic(engine, 0.2, 0.6)

    def by_hand(*_: object) -> bool:
        channels.move(engine, CHANNEL, "other", 1, None, now=NOW)
        return False

    with monkeypatch.context() as patch:
        patch.setattr(canary_bots, "set_aside", by_hand)
        with pytest.raises(canaries.CanaryError, match="it was not promoted"):
            look(engine, PARAMS, NOW + DAY, None)
    looked = look(engine, PARAMS, NOW + DAY, None)
    assert looked is not None
    assert looked.canary.state == "stopped"
    assert channels.read(engine, CHANNEL) == Channel("other", 2)


def test_a_worker_whose_clock_is_ahead_hides_no_failed_load(engine: sa.Engine) -> None:
    row = started(engine)
    for _ in range(3):
        canaries.begin_loading(engine, row, wall_clock() + DAY)
    looked = look(engine, PARAMS, NOW, None)
    assert looked is not None
    assert looked.canary.state == "rolled back"


class Killed(BaseException):
    """The process ends here."""


STEPS: dict[str, tuple[object, str]] = {
    "before it stores what it counted": (canaries, "store"),
    "before it promotes": (channels, "move"),
    "after it promoted": (canaries, "finish"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_look_that_was_killed_is_finished_by_the_next(
    engine: sa.Engine, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(engine, share=0.5)
    traffic(engine, 0.2, 0.6)
    owner, name = STEPS[step]

    def die(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, die)
        with pytest.raises(Killed):
            look(engine, PARAMS, NOW, None)
    looked = look(engine, PARAMS, NOW, None)
    assert looked is not None
    assert looked.canary.state == "promoted"
    assert channels.read(engine, CHANNEL) == Channel("new", 2)
    assert len(channels.history(engine, CHANNEL)) == 2
    counted = canaries.evidence(engine, looked.canary)
    assert counted.totals.tolist() == [400, 80, 400, 240]


def test_one_look_at_a_time_acts(engine: sa.Engine) -> None:
    started(engine, share=0.5)
    traffic(engine, 0.6, 0.2)
    with lease(engine, "canary"):
        assert canary.check(engine, NOW) is None
    looked = canary.check(engine, NOW)
    assert looked is not None
    assert looked.canary.state == "rolled back"


def test_the_second_of_two_counts_is_refused(engine: sa.Engine) -> None:
    row = started(engine)
    traffic(engine, 0.2, 0.2)
    canary_evidence.count(engine, row, PARAMS, canary.rules(), NOW, None)
    with pytest.raises(canaries.CanaryError, match="looked at canary 1 just now"):
        canary_evidence.count(engine, row, PARAMS, canary.rules(), NOW, None)


@pytest.fixture
def rollout(tmp_path: Path, engine: sa.Engine) -> Rollout:
    return Rollout(Settings(home=tmp_path / "home"), engine)


def test_a_verdict_of_canary_starts_one_at_a_time(rollout: Rollout) -> None:
    engine = rollout.engine
    recent = {"timestamp": NOW - DAY, "canary": None}
    FeedbackLog(engine).append(
        [served(f"r{n}", f"u{n % 250}", "champion", "i1", **recent) for n in range(300)]
        + [served("old", "long gone", "champion", "i1", timestamp=NOW - 29 * DAY)]
    )
    for number, release in enumerate(("first", "second")):
        verdicts.register(engine, release, "somewhere", {}, now=number)
        verdicts.record(engine, release, "canary", {}, {}, None)
    row = canary.propose(rollout, "first", None, NOW, None)
    assert row is not None
    assert (row.share, row.control) == (0.4, None)  # a hundred of 250 users
    assert canary.propose(rollout, "first", None, NOW, None) == row  # killed, and run again
    assert canary.propose(rollout, "second", None, NOW, None) is None
    assert rollout.on_trial() == {"first"}
    canaries.finish(engine, row, "stopped", "", None, now=NOW)
    champion = channels.move(engine, CHANNEL, "first", 0, None, now=NOW)
    # Features whose definition is unknown would be read from one store with others.
    assert canary.propose(rollout, "second", champion, NOW, None) is None


def test_a_canary_that_somebody_starts_meanwhile_ends_no_retrain(
    rollout: Rollout, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = canaries.start(rollout.engine, "canary", "by hand", None, 0.5, now=NOW)
    monkeypatch.setattr(canary.canaries, "running", lambda *_: None)  # read just before
    assert canary.propose(rollout, "first", None, NOW, None) is None
    assert canaries.newest(rollout.engine, "canary") == other


def test_a_look_that_fails_does_not_keep_the_monitor_from_its_work(
    sqlite: sa.Engine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import logging

    def fails(_: sa.Engine) -> None:
        raise RuntimeError("no such table")

    monkeypatch.setattr(canary, "check", fails)
    monkeypatch.setattr(monitor, "get_run_logger", logging.getLogger)
    look_once: Callable[[sa.Engine], None] = monitor.look_at_canary.fn
    look_once(sqlite)
    assert "the canary could not be looked at" in caplog.text
