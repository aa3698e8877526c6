"""The recommend pipeline on a real release, a real online store and a real log."""

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from features.merge import UserHistory
from features.online import OnlineStore
from features.requests import context
from features.requests.requests import FIRST_USER_FEATURES
from features.schema import EVENT_CODES, ITEM_FEATURES, USER_FEATURES
from serving import catalogue_feed, channels, release
from serving.context import propensities
from serving.engine import Conflict
from serving.live import Follower, Live, empty, with_feed, with_release
from serving.metrics import Metrics
from serving.models import FeedbackInput, FeedbackOutput, HistoryEntry
from serving.policy import PolicyParams, propensity
from serving.release import Release
from serving.tables import ID_LENGTH
from tests.serving.kit import SIGNER, Kit
from tests.serving.small import CLICK, NOW, click, make_release


def test_a_slate_is_in_the_log_with_its_impressions_before_it_is_answered(kit: Kit) -> None:
    answer = kit.recommend(k=5)
    assert answer["source"] == "trees"
    assert answer["fallback"] is None
    assert answer["release"] == kit.live.release_id
    table = kit.log.read(0, 100)
    assert table["item_id"].to_pylist() == [item["item_id"] for item in answer["items"]]
    assert table["propensity"].to_pylist() == [item["propensity"] for item in answer["items"]]
    assert table["event_id"].to_pylist() == [f"impression:server-0:{n}" for n in range(5)]
    assert set(table["event_type"].to_pylist()) == {"impression"}
    assert set(table["request_id"].to_pylist()) == {"server-0"}
    assert SIGNER.verify(answer["request_id"]) == "server-0"


def test_the_logged_context_gives_the_logged_propensities_exactly(kit: Kit) -> None:
    history = [HistoryEntry(item_id=f"i{n}", timestamp=NOW - 50 + n) for n in (5, 9, 13)]
    explored = 0
    for n in range(20):
        asked = {"user_id": f"u{n}", "history": history, "exclude": ["i1", "unknown"]}
        kit.recommend(k=8, request_id=f"r{n}", **asked)
        request, slots = kit.log.request(f"r{n}")
        logged = context.decode(request["context"], kit.live.catalogue.item_ids)
        again = propensities(logged, [slot["item_id"] for slot in slots], kit.live.catalogue)
        assert again.tolist() == [slot["propensity"] for slot in slots]
        explored += sum(slot["reasons"] == "exploration" for slot in slots)
        assert logged.history_items == ["i5", "i9", "i13"]
        assert not {"i1", "i3", "i5", "i9", "i13"} & {slot["item_id"] for slot in slots}
    assert explored > 0


def test_user_features_of_a_logged_request_are_found_by_name(kit: Kit) -> None:
    kit.recommend(k=4)
    logged = context.decode(kit.log.request("server-0")[0]["context"], kit.live.catalogue.item_ids)
    assert tuple(logged.user_feature_names) == USER_FEATURES
    named = replace(
        logged, user_features=[5.0, None], user_feature_names=["gone", "user_clicks_7d"]
    )
    first = replace(
        logged, user_features=[1.0, 2, 3, 4, 5, 6], user_feature_names=FIRST_USER_FEATURES
    )
    features = kit.live.item_features[None]
    requests = context.requests_of([named, first], kit.live.catalogue, features, np.array([0]))
    assert np.isnan(requests.user_features[0]).all()
    clicks = USER_FEATURES.index("user_clicks_7d")
    assert requests.user_features[1, clicks] == 5


def test_an_event_of_a_kind_that_only_a_later_version_knows_is_left_out_of_what_is_shown(
    kit: Kit, online: OnlineStore
) -> None:
    later = UserHistory(["i1", "i2"], [EVENT_CODES["click"], 100], [NOW - 2, NOW - 1], [])
    online.push_history({"later": later}, NOW)
    assert [entry.item_id for entry in kit.engine.history("later").events] == ["i1"]
    assert kit.recommend(user_id="later", k=4)["fallback"] is None


def test_another_release_can_be_asked_for_its_propensity_of_a_logged_slate(
    kit: Kit, releases: tuple[Release, Release]
) -> None:
    answer = kit.recommend(k=4, history=[HistoryEntry(item_id="i8", timestamp=NOW - 9)])
    logged = context.decode(kit.log.request("server-0")[0]["context"], kit.live.catalogue.item_ids)
    catalogue = kit.live.catalogue
    features = kit.live.item_features[None]
    requests = context.requests_of([logged], catalogue, features, np.array([0]))
    slate = np.array([[catalogue.index[item["item_id"]] for item in answer["items"]]], np.int32)
    by_release = []
    for which in releases:
        recommender = which.load(catalogue)
        ranked = recommender.rank(requests, logged.repeats)
        eligible = recommender.eligible(requests, logged.repeats).sum(axis=1)
        assert eligible[0] == logged.eligible
        by_release.append(
            propensity(
                ranked.scores,
                ranked.candidates,
                eligible,
                slate,
                which.policy,
                catalogue.categories,
            )[0]
        )
    own, other = by_release
    assert own.tolist() == [item["propensity"] for item in answer["items"]]
    assert other.tolist() != own.tolist()
    assert (other > 0).all()


def test_the_same_request_id_gives_the_same_slate_even_from_another_release(
    kit: Kit, releases: tuple[Release, Release]
) -> None:
    first = kit.recommend(request_id="mine")
    kit.live = with_release(kit.live, releases[1], None)
    assert kit.recommend(now=NOW + 5, request_id="mine") == first
    assert kit.log.last_offset() == len(first["items"])
    for other in ({"k": 30}, {"k": 3}, {"user_id": "v"}):
        with pytest.raises(Conflict, match="another question"):
            kit.recommend(request_id="mine", **other)
    assert kit.log.last_offset() == len(first["items"])


def test_a_client_cannot_take_the_event_id_of_an_impression(kit: Kit) -> None:
    def clicks(*event_ids: str) -> FeedbackOutput:
        events = [click("u", "i1", NOW, event_id) for event_id in event_ids]
        return asyncio.run(kit.engine.feedback(FeedbackInput(events=events), NOW))

    early = clicks("r:0", "impression:r:1")
    assert (early.accepted, [r.event_id for r in early.rejected]) == (1, ["impression:r:1"])
    kit.recommend(request_id="r", k=3)
    assert clicks("r:2").accepted == 1
    rows = kit.log.read(0, 10).to_pylist()
    assert [row["event_type"] for row in rows] == ["click", *["impression"] * 3, "click"]
    assert [letter["event_id"] for letter in kit.log.dead_letters()] == ["impression:r:1"]


def test_the_longest_request_id_fits_the_log(kit: Kit) -> None:
    kit.recommend(request_id="x" * 100, k=100)
    assert max(len(i) for i in kit.log.read(0, 100)["event_id"].to_pylist()) <= ID_LENGTH


def test_a_pushed_click_changes_the_next_slate(kit: Kit, online: OnlineStore) -> None:
    before = kit.recommend(user_id="clicker", request_id="one")
    item = before["items"][0]["item_id"]
    pushed = UserHistory(items=[item], event_types=[CLICK], timestamps=[NOW + 1], hidden=["i20"])
    online.push_history({"clicker": pushed}, NOW + 1)
    after = kit.recommend(now=NOW + 2, user_id="clicker", request_id="two", k=100)
    shown = {entry["item_id"] for entry in after["items"]}
    assert item not in shown
    assert "i20" not in shown
    same_moment = kit.recommend(now=NOW + 1, user_id="clicker", request_id="three", k=100)
    assert item in {entry["item_id"] for entry in same_moment["items"]}


def test_outcomes_inherit_from_the_logged_slot(kit: Kit) -> None:
    answer = kit.recommend(k=3)
    item = answer["items"][2]
    events = [click("u", item["item_id"], NOW + 1, "c") | {"request_id": answer["request_id"]}]
    sent = FeedbackInput(events=events * 2)
    output = asyncio.run(kit.engine.feedback(sent, NOW + 2))
    assert (output.accepted, output.duplicates, output.rejected) == (1, 1, [])
    row = kit.log.read(3, 1).to_pylist()[0]
    assert row["position"] == 2
    assert row["propensity"] == item["propensity"]
    assert row["release"] == kit.live.release_id


def test_every_smaller_system_answers_and_says_so(
    kit: Kit, releases: tuple[Release, Release], tmp_path: Path
) -> None:
    make_release(tmp_path / "no-trees", trees=False)
    kit.live = with_release(empty(), Release.open(tmp_path / "no-trees"), None)
    answer = kit.recommend(user_id="u0")
    assert (answer["source"], answer["fallback"]) == ("transformer", "no trees")

    kit.live = replace(with_release(empty(), releases[0], None), recommender=None)
    features = np.zeros_like(kit.live.item_features)
    features[:, ITEM_FEATURES.index("item_events_7d")] = np.arange(len(features)) % 50
    kit.live = replace(kit.live, item_features=features)
    answer = kit.recommend(user_id="u1")
    assert (answer["source"], answer["fallback"]) == ("recency-popular", "no release")

    kit.live = replace(kit.live, item_features=np.full_like(features, np.nan))
    answer = kit.recommend(user_id="u2")
    assert (answer["source"], len(answer["items"])) == ("catalogue", 10)

    kit.live = empty()
    assert kit.recommend()["items"] == []


def test_more_slots_than_eligible_items_gives_each_item_once(kit: Kit) -> None:
    shown = [item["item_id"] for item in kit.recommend(k=100)["items"]]
    assert sorted(shown) == sorted(f"i{n}" for n in range(60) if n != 3)


def test_a_new_item_joins_the_catalogue_and_no_index_moves(live: Live, sqlite: sa.Engine) -> None:
    news = [
        {"item_id": "new", "title": "New", "received_at": NOW, "created_at": NOW},
        {"item_id": "i0", "available": False, "received_at": NOW},
        {"item_id": "i1", "title": "older than the release", "received_at": 0},
    ]
    catalogue_feed.upsert(sqlite, news)
    later = with_feed(live, catalogue_feed.read(sqlite, 0))
    assert later.catalogue.item_ids[:60].tolist() == live.catalogue.item_ids.tolist()
    assert later.catalogue.item_ids[60] == "new"
    assert not later.catalogue.available[0]
    assert later.catalogue.titles[1] == live.catalogue.titles[1]
    assert later.sequence == 3
    assert later.recommender.catalogue is later.catalogue
    assert later.item_features.shape == (61, len(ITEM_FEATURES))


def test_the_follower_swaps_releases_and_keeps_serving_when_the_next_is_broken(
    releases: tuple[Release, Release], online: OnlineStore, sqlite: sa.Engine, tmp_path: Path
) -> None:
    store = str(tmp_path / "store")
    ids = [release.publish(made.path, store) for made in releases]
    follower = Follower(
        sqlite,
        online,
        lambda identity: release.fetch(identity, store, tmp_path / "cache"),
        "champion",
        None,
        Metrics(CollectorRegistry()),
    )
    assert follower.live.release_id is None
    channels.move(sqlite, "champion", ids[0], 0, None, now=1)
    follower.poll()
    assert (follower.live.release_id, follower.live.generation) == (ids[0], 1)
    (Path(store) / ids[1] / "policy.json").write_text("{}")
    channels.move(sqlite, "champion", ids[1], 1, None, now=2)
    follower.poll()
    assert follower.live.release_id == ids[0]
    channels.rollback(sqlite, "champion", now=3)
    follower.poll()
    assert (follower.live.release_id, follower.live.generation) == (ids[0], 3)


def test_a_feed_that_excludes_what_it_has_shown_is_never_left_to_exploration(kit: Kit) -> None:
    """59 of 60 items may be shown; each page leaves out all pages before it."""
    kit.live = replace(kit.live, policy=PolicyParams(epsilon=0.0))
    shown: list[str] = []
    for page in range(11):
        items = kit.recommend(k=5, request_id=f"p{page}", exclude=[*shown, "unknown"])["items"]
        assert all(item["score"] is not None for item in items), f"page {page}"
        assert not {item["item_id"] for item in items} & set(shown)
        shown += [item["item_id"] for item in items]
        logged = context.decode(
            kit.log.request(f"p{page}")[0]["context"], kit.live.catalogue.item_ids
        )
        assert logged.eligible == 59 - 5 * page
        assert not set(logged.candidates) & set(shown[: 5 * page])
        features = kit.live.item_features[None]
        asked = context.requests_of([logged], kit.live.catalogue, features, np.array([0]))
        again = kit.live.recommender.rank(asked, logged.repeats)
        ids = kit.live.catalogue.item_ids
        assert ids[again.candidates[0]].tolist() == logged.candidates
        assert again.scores[0].tolist() == np.float32(logged.scores).tolist()
