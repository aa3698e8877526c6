"""Nobody can choose what is drawn, and a repeated question is drawn only once."""

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from features.merge import UserHistory
from features.online import OnlineStore
from features.requests import context
from features.schema import MINUTE
from serving import catalogue_feed
from serving.channels import Channel
from serving.context import propensities
from serving.engine import Engine
from serving.feedback_log import FeedbackLog
from serving.live import Live, with_feed, with_release
from serving.metrics import Metrics
from serving.models import FeedbackInput, HistoryEntry, RecommendInput, RecommendOutput
from serving.policy import PolicyParams, draw, propensity, uniforms_of
from serving.release import Release
from serving.signing import Signer
from serving.writer import Writer
from tests.serving.kit import SIGNER, Kit
from tests.serving.small import CLICK, NOW, click

WINDOW = 30 * MINUTE


def ids(answer: dict[str, object]) -> list[str]:
    return [item["item_id"] for item in answer["items"]]


def logged(kit: Kit) -> tuple[int, int]:
    """Requests and impressions in the log."""
    with kit.log.engine.connect() as connection:
        requests = connection.execute(sa.text("SELECT count(*) FROM requests")).scalar_one()
    return requests, kit.log.last_offset()


def test_thousands_of_request_ids_get_one_slate(kit: Kit) -> None:
    first = kit.recommend(request_id="first", k=5)
    assert not first["repeat"]

    async def attack() -> list[RecommendOutput]:
        return [
            await kit.engine.recommend(
                RecommendInput(user_id="u", k=5, request_id=f"try-{n}"), NOW + 1 + n
            )
            for n in range(2_000)
        ]

    answers = asyncio.run(attack())
    assert {tuple(item.item_id for item in answer.items) for answer in answers} == {
        tuple(ids(first))
    }
    assert all(answer.repeat for answer in answers)
    assert {SIGNER.verify(answer.request_id) for answer in answers} == {"first"}
    assert logged(kit) == (1, 5)


def test_the_window_begins_with_the_draw_and_ends_whatever_is_asked_meanwhile(kit: Kit) -> None:
    first = kit.recommend(k=5)
    for at in (1, WINDOW // 2, WINDOW - 1):
        again = kit.recommend(now=NOW + at, k=5)
        assert again == first | {"repeat": True}
    later = kit.recommend(now=NOW + WINDOW, k=5)
    assert not later["repeat"]
    assert later["request_id"] != first["request_id"]
    assert logged(kit) == (2, 10)


@pytest.mark.parametrize(
    "change",
    [
        {"placement": "feed"},
        {"exclude": ["i7"]},
        {"history": [HistoryEntry(item_id="i8", timestamp=NOW - 9)]},
        {"user_id": "v"},
    ],
)
def test_another_state_is_another_draw(kit: Kit, change: dict[str, object]) -> None:
    kit.recommend(k=5)
    assert not kit.recommend(k=5, **change)["repeat"]
    assert logged(kit) == (2, 10)


def test_what_changes_nothing_is_no_other_state(kit: Kit) -> None:
    kit.recommend(k=5, exclude=["i7", "i9"])
    for same in (["i9", "i7"], ["i7", "i9", "i7"], ["nobody", "i9", "i7"]):
        assert kit.recommend(k=5, exclude=same)["repeat"]


def test_excluding_what_could_not_be_shown_anyway_is_no_other_state(
    kit: Kit, online: OnlineStore
) -> None:
    past = UserHistory(items=["i5"], event_types=[CLICK], timestamps=[NOW - 9], hidden=["i6"])
    online.push_history({"been": past}, NOW - 9)
    first = kit.recommend(user_id="been", k=5)
    for gone in (["i3"], ["i5"], ["i6"], ["i6", "i3", "i5"]):  # i3 is not available
        assert kit.recommend(user_id="been", k=5, exclude=gone) == first | {"repeat": True}
    # where what was seen may be shown again, leaving it out is a question of its own
    kit.recommend(user_id="been", k=5, placement="cart")
    assert not kit.recommend(user_id="been", k=5, placement="cart", exclude=["i5"])["repeat"]


def test_a_click_or_a_hide_ends_the_repeats(kit: Kit, online: OnlineStore) -> None:
    first = kit.recommend(user_id="moves", k=5)
    item = ids(first)[0]
    clicked = UserHistory(items=[item], event_types=[CLICK], timestamps=[NOW + 1], hidden=[])
    online.push_history({"moves": clicked}, NOW + 1)
    second = kit.recommend(now=NOW + 2, user_id="moves", k=5)
    assert not second["repeat"]
    assert item not in ids(second)
    online.push_history({"moves": replace(clicked, hidden=[ids(second)[0]])}, NOW + 3)
    assert not kit.recommend(now=NOW + 4, user_id="moves", k=5)["repeat"]


def test_a_shorter_slate_is_the_beginning_and_a_longer_one_goes_on(kit: Kit) -> None:
    five = kit.recommend(k=5, request_id="five")
    three = kit.recommend(k=3, request_id="three", now=NOW + 1)
    assert three == five | {"repeat": True, "items": five["items"][:3]}
    nine = kit.recommend(k=9, request_id="nine", now=NOW + 2)
    assert nine["items"][:5] == five["items"]
    assert not nine["repeat"]
    assert logged(kit) == (2, 9)  # the first five were shown once
    assert kit.recommend(k=9, now=NOW + 3) == nine | {"repeat": True}
    request, slots = kit.log.request("nine")
    assert [slot["origin"] for slot in slots] == ["five"] * 5 + [None] * 4
    record = context.decode(request["context"], kit.live.catalogue.item_ids)
    assert record.shown == 5
    assert record.seed == context.seed_of(kit.log.request("five")[0]["context"])
    again = propensities(record, ids(nine), kit.live.catalogue)
    assert again[5:].tolist() == [item["propensity"] for item in nine["items"]][5:]
    twelve = kit.recommend(k=12, request_id="twelve", now=NOW + 4)
    origins = [slot["origin"] for slot in kit.log.request("twelve")[1]]
    assert origins == ["five"] * 5 + ["nine"] * 4 + [None] * 3
    assert logged(kit) == (3, 12)
    # an outcome belongs to the request whose impression it is, whichever answer it came from
    events = [
        click("u", ids(twelve)[place], NOW + 5, f"c{place}") | {"request_id": twelve["request_id"]}
        for place in (0, 6, 11)
    ]
    asyncio.run(kit.engine.feedback(FeedbackInput(events=events), NOW + 6))
    rows = kit.log.read(12, 10).to_pylist()
    assert [(row["request_id"], row["position"]) for row in rows] == [
        ("five", 0), ("nine", 6), ("twelve", 11),
    ]  # fmt: skip


def test_asking_for_one_slot_more_each_time_shows_the_slate_of_one_draw(kit: Kit) -> None:
    grown = [ids(kit.recommend(k=k, now=NOW + k)) for k in range(1, 40)]
    assert all(longer[: len(shorter)] == shorter for shorter, longer in pairwise(grown))
    assert logged(kit) == (39, 39)
    everything = kit.recommend(k=100, now=NOW + 50)
    assert sorted(ids(everything)) == sorted(f"i{n}" for n in range(60) if n != 3)
    assert kit.recommend(k=90, now=NOW + 51)["repeat"]  # there is no more to show


def test_a_slate_with_a_withdrawn_item_is_not_shown_again(kit: Kit, sqlite: sa.Engine) -> None:
    first = kit.recommend(k=5)
    gone = ids(first)[2]
    catalogue_feed.upsert(sqlite, [{"item_id": gone, "available": False, "received_at": NOW}])
    kit.live = with_feed(kit.live, catalogue_feed.read(sqlite, 0))
    second = kit.recommend(k=5, now=NOW + 1)
    assert gone not in ids(second)
    assert not second["repeat"]
    assert kit.recommend(k=5, now=NOW + 2) == second | {"repeat": True}


def test_another_release_or_generation_draws_anew(
    kit: Kit, releases: tuple[Release, Release]
) -> None:
    """Also the same release again after a rollback, since an answer names what is served now."""
    answers = []
    for generation, which in enumerate((0, 1, 0), start=1):
        channel = Channel(releases[which].id, generation)
        kit.live = with_release(kit.live, releases[which], channel)
        answers.append(kit.recommend(k=5, now=NOW + generation))
    assert [answer["generation"] for answer in answers] == [1, 2, 3]
    assert not any(answer["repeat"] for answer in answers)


def test_workers_that_answer_one_question_at_once_log_one_slate(
    live: Live, online: OnlineStore, engine: sa.Engine
) -> None:
    """Two writers on one database with eight requests at a time, none of which waits for
    another."""
    kit = Kit(live, online, engine)
    log, metrics = FeedbackLog(kit.log.engine), Metrics(CollectorRegistry())
    writer = Writer(log, lambda _: None, metrics)
    other = Engine(
        lambda: kit.live, online, log, writer, SIGNER, iter("abcdefgh").__next__, metrics
    )

    async def both() -> list[RecommendOutput]:
        asked = [
            engine.recommend(RecommendInput(user_id="u", k=3 + n % 5), NOW)
            for n in range(8)
            for engine in (kit.engine, other)
        ]
        return await asyncio.gather(*asked)

    answers = asyncio.run(both())
    writer.close()
    kit.writer.close()
    longest = max((answer.items for answer in answers), key=len)
    assert all(answer.items == longest[: len(answer.items)] for answer in answers)
    assert kit.log.last_offset() == 7  # impressions: each slot of the longest slate once


def test_a_restarted_service_knows_what_was_shown(kit: Kit, online: OnlineStore) -> None:
    first = kit.recommend(k=5)
    kit.writer.close()
    again = Kit(kit.live, online, kit.log.engine)
    assert again.recommend(k=5, now=NOW + 1) == first | {"repeat": True}
    again.writer.close()


def test_a_slate_that_a_later_version_has_logged_goes_on(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both versions use the same database, and the later one logs more of a request."""
    encode = context.encode
    with monkeypatch.context() as later:
        later.setattr(
            context, "encode", lambda plain, *rest: encode({**plain, "weather": "rain"}, *rest)
        )
        five = kit.recommend(k=5, request_id="five")
    nine = kit.recommend(k=9, now=NOW + 1)
    assert nine["items"][:5] == five["items"]


def test_without_a_window_every_request_draws(kit: Kit, online: OnlineStore) -> None:
    log, metrics = kit.log, Metrics(CollectorRegistry())
    engine = Engine(
        lambda: kit.live, online, log, kit.writer, SIGNER, iter("ab").__next__, metrics, repeat=0
    )
    asked = RecommendInput(user_id="u", k=5)
    answers = [asyncio.run(engine.recommend(asked, NOW + n)) for n in range(2)]
    assert not any(answer.repeat for answer in answers)
    assert logged(kit) == (2, 10)


def test_the_draw_is_keyed_by_the_secret_which_is_logged_nowhere(kit: Kit) -> None:
    kit.recommend(request_id="r", k=8)
    request = kit.log.request("r")[0]
    record = context.decode(request["context"], kit.live.catalogue.item_ids)
    assert record.seed == Signer(b"key").seed("u", "r", request["state"])
    assert b"key" not in request["context"]
    seeds = {
        signer.seed(*question)
        for signer in (SIGNER, Signer(b"other"))
        for question in (("u", "r", "s"), ("v", "r", "s"), ("u", "q", "s"), ("u", "r", "t"))
    }
    assert len(seeds) == 8
    assert SIGNER.seed("u", "r", "s") not in SIGNER.sign("r")


def test_over_users_and_states_a_wanted_item_is_hit_as_often_as_its_propensity_says() -> None:
    """An attacker chooses request ids and users, against a fixed secret.

    Ids that look best under another secret are no better than others.
    """
    items, tries = 40, 20_000
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(1, 12)).astype(np.float32)
    candidates = np.arange(12, dtype=np.int32)[None]
    eligible = np.ones((1, items), dtype=np.bool_)
    params = PolicyParams(epsilon=0.3)

    def first_slots(signer: Signer) -> np.ndarray:
        seeds = [signer.seed(f"u{n % 100}", f"try-{n}", f"state-{n % 7}") for n in range(tries)]
        rows = np.zeros(tries, dtype=int)
        drawn = draw(
            scores[rows], candidates[rows], eligible[rows], 1, params, uniforms_of(seeds, 1)
        )
        return drawn.items[:, 0]

    truth = first_slots(Signer(b"the service's"))
    guess = first_slots(Signer(b"the attacker's"))
    law = propensity(
        np.repeat(scores, items, 0), np.repeat(candidates, items, 0),
        np.full(items, items), np.arange(items, dtype=np.int32)[:, None], params,
    )[:, 0]  # fmt: skip
    for wanted in (5, 30):  # a weak candidate, and an item that only exploration shows
        promising = truth[guess == wanted]
        for hits in (truth, promising):
            expected = law[wanted] * len(hits)
            assert abs((hits == wanted).sum() - expected) < 5 * np.sqrt(expected)
    assert Counter(truth.tolist()).keys() == set(range(items))
