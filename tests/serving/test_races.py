"""Several processes do something for the first time at the same moment, on every database."""

import sqlalchemy as sa

from flows import lease
from serving import channels, offsets, verdicts
from serving.database import connect
from tests.serving.starts import PROCESSES, at_once


def test_one_of_those_who_ask_first_gets_the_lease(database_url: str) -> None:
    got = at_once(
        database_url, lambda engine, n: lease.acquire(engine, "retrain", f"other/{n}/0.00", 0)
    )
    fences = [fence for fence in got if fence is not None]
    assert [type(fence).__name__ for fence in fences] == ["Fence"], got


def test_an_offset_that_several_note_first_is_noted(database_url: str) -> None:
    got = at_once(database_url, lambda engine, _: offsets.advance(engine, {"events": 7}))
    assert got == [None] * PROCESSES
    engine = connect(database_url)
    assert offsets.read(engine, "events") == 7
    engine.dispose()


def test_a_release_that_several_register_is_registered_once(database_url: str) -> None:
    got = at_once(
        database_url, lambda engine, n: verdicts.register(engine, "abc", f"/{n}", {}, now=n)
    )
    assert got == [None] * PROCESSES
    engine = connect(database_url)
    assert len(verdicts.latest(engine)) == 1
    engine.dispose()


def test_a_channel_that_several_set_first_is_set_by_one(database_url: str) -> None:
    def promote(engine: sa.Engine, number: int) -> object:
        return channels.move(engine, "champion", f"r{number}", 0, None, now=0)

    got = at_once(database_url, promote)
    moved = [one for one in got if isinstance(one, channels.Channel)]
    lost = [one for one in got if isinstance(one, channels.ChannelMoved)]
    assert (len(moved), len(lost)) == (1, PROCESSES - 1), got
    engine = connect(database_url)
    assert channels.read(engine, "champion") == moved[0]
    assert len(channels.history(engine, "champion")) == 1
    engine.dispose()


def test_every_later_move_is_made_by_one(database_url: str) -> None:
    engine = connect(database_url)
    channels.move(engine, "champion", "r", 0, None, now=0)
    got = at_once(
        database_url, lambda one, n: channels.move(one, "champion", f"r{n}", 1, None, now=1)
    )
    assert sum(isinstance(one, channels.Channel) for one in got) == 1, got
    assert sum(isinstance(one, channels.ChannelMoved) for one in got) == PROCESSES - 1, got
    assert len(channels.history(engine, "champion")) == 2
    engine.dispose()
