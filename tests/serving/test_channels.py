"""Channels, verdicts and the catalogue feed on every database."""

import threading

import pytest
import sqlalchemy as sa

from serving import catalogue_feed, channels, verdicts
from serving.channels import Channel, ChannelMoved
from serving.fences import Fence, Fenced
from serving.tables import leases


def move(engine: sa.Engine, release: str, expected: int, fence: Fence | None = None) -> Channel:
    return channels.move(engine, "champion", release, expected, fence, now=1)


def test_a_channel_moves_only_from_the_generation_that_was_read(engine: sa.Engine) -> None:
    assert channels.read(engine, "champion") is None
    assert move(engine, "a", 0) == Channel("a", 1)
    assert move(engine, "b", 1) == Channel("b", 2)
    with pytest.raises(ChannelMoved, match="generation 2, not 1"):
        move(engine, "c", 1)
    assert channels.read(engine, "champion") == Channel("b", 2)


def test_moving_to_the_same_release_changes_nothing(engine: sa.Engine) -> None:
    move(engine, "a", 0)
    assert move(engine, "a", 1) == Channel("a", 1)
    assert len(channels.history(engine, "champion")) == 1


def test_of_many_that_move_at_once_one_wins(engine: sa.Engine) -> None:
    move(engine, "start", 0)
    outcomes: list[str] = []

    def promote(release: str) -> None:
        try:
            move(engine, release, 1)
            outcomes.append(release)
        except ChannelMoved:
            outcomes.append("lost")

    threads = [threading.Thread(target=promote, args=(f"r{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("lost") == 3
    winner = next(o for o in outcomes if o != "lost")
    assert channels.read(engine, "champion") == Channel(winner, 2)


def test_a_holder_whose_lease_has_passed_on_cannot_promote(engine: sa.Engine) -> None:
    with engine.begin() as connection:
        row = {"name": "retrain", "holder": "b", "expires_at": 0, "fence": 7, "again": False}
        connection.execute(sa.insert(leases), row)
    with pytest.raises(Fenced, match="number 6 is not the newest"):
        move(engine, "a", 0, Fence("retrain", 6))
    with pytest.raises(Fenced):
        move(engine, "a", 0, Fence("never taken", 1))
    assert channels.read(engine, "champion") is None
    assert move(engine, "a", 0, Fence("retrain", 7)) == Channel("a", 1)


def test_rollback_returns_to_the_champion_before_and_is_kept_in_history(engine: sa.Engine) -> None:
    for generation, release in enumerate("abc"):
        move(engine, release, generation)
    assert channels.rollback(engine, "champion", now=2).release == "b"
    assert channels.rollback(engine, "champion", now=3).release == "a"
    with pytest.raises(LookupError, match="no release before a"):
        channels.rollback(engine, "champion", now=4)
    move(engine, "d", 5)
    assert channels.rollback(engine, "champion", now=5).release == "a"
    assert [m.release for m in channels.history(engine, "champion")] == list("adabcba")
    assert channels.past(engine, "champion") == set("abcd")


def test_rolling_back_a_channel_that_was_never_set_says_so(engine: sa.Engine) -> None:
    with pytest.raises(LookupError, match="never set"):
        channels.rollback(engine, "champion", now=1)


def test_a_release_that_was_rolled_back_from_is_withdrawn_until_it_is_chosen_again(
    engine: sa.Engine,
) -> None:
    assert channels.withdrawn(engine, "champion") == set()
    for generation, release in enumerate("abc"):
        move(engine, release, generation)
    assert channels.withdrawn(engine, "champion") == set()
    channels.rollback(engine, "champion", now=2, reason="CTR fell")
    assert channels.withdrawn(engine, "champion") == {"c"}
    channels.rollback(engine, "champion", now=3)
    assert channels.withdrawn(engine, "champion") == {"b", "c"}
    move(engine, "d", 5)
    assert channels.withdrawn(engine, "champion") == {"b", "c"}
    move(engine, "c", 6)
    assert channels.withdrawn(engine, "champion") == {"b"}
    assert channels.withdrawn(engine, "canary") == set()


def test_a_verdict_is_stored_under_its_release(engine: sa.Engine) -> None:
    verdicts.register(engine, "r1", "file:///r1", {"data": "d"}, now=5)
    verdicts.register(engine, "r1", "elsewhere", {}, now=6)
    before = verdicts.read(engine, "r1")
    assert before is not None
    assert (before.path, before.decision, before.evidence) == ("file:///r1", None, None)
    verdicts.record(engine, "r1", "hold", {"checks": []}, {"n": 1.5}, None)
    after = verdicts.read(engine, "r1")
    assert after is not None
    assert (after.decision, after.evidence) == ("hold", {"n": 1.5})
    assert [r.release for r in verdicts.latest(engine)] == ["r1"]
    with pytest.raises(LookupError, match="r2 is not registered"):
        verdicts.record(engine, "r2", "hold", {}, {}, None)


def test_the_catalogue_feed_numbers_changed_versions_only(engine: sa.Engine) -> None:
    jazz = {"item_id": "i1", "title": "Jazz", "categories": ["music"], "received_at": 10}
    assert catalogue_feed.upsert(engine, [jazz, jazz, {"item_id": "i2", "received_at": 10}]) == 2
    assert catalogue_feed.upsert(engine, [jazz | {"received_at": 11}]) == 0
    assert catalogue_feed.upsert(engine, [jazz | {"price": 2.5, "received_at": 12}]) == 1
    table = catalogue_feed.read(engine, 0)
    assert table.schema == catalogue_feed.FEED
    assert table["sequence"].to_pylist() == [1, 2, 3]
    assert table["item_id"].to_pylist() == ["i1", "i2", "i1"]
    assert table["categories"].to_pylist() == [["music"], None, ["music"]]
    assert table["available"].to_pylist() == [True] * 3
    assert catalogue_feed.read(engine, 1, limit=1)["item_id"].to_pylist() == ["i2"]
    assert catalogue_feed.last_sequence(engine) == 3


def test_a_rollback_is_told_from_a_promotion_whatever_its_reason(engine: sa.Engine) -> None:
    for generation, release in enumerate(("a", "b", "c")):
        channels.move(engine, "champion", release, generation, None, now=generation)
    assert channels.rollback(engine, "champion", now=3, reason="CTR fell").release == "b"
    assert channels.rollback(engine, "champion", now=4, reason="CTR still low").release == "a"
