"""Two releases side by side in one worker: who gets which, and what the log says of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from features.requests import context
from features.schema import ITEM_FEATURES
from features.splits.windowing import SplitParams
from serving import canaries, canary_evidence
from serving.arms import FAILED, assign, place
from serving.canaries import Canary
from serving.channels import Channel
from serving.context import propensities
from serving.live import Live, Trial, empty, with_feed, with_release
from serving.release import Release
from tests.serving.kit import Kit
from tests.serving.small import NOW, items
from training.canary.params import CanaryParams

USERS = [f"u{n}" for n in range(30)]


def row(kit: Kit, release: str, control: str | None, share: float = 0.5) -> Canary:
    return canaries.start(kit.log.engine, "canary", release, control, share, now=NOW)


@pytest.fixture
def both(kit: Kit, releases: tuple[Release, Release]) -> Canary:
    """Half of the users get the second release."""
    canary = row(kit, releases[1].id, releases[0].id)
    state = with_release(kit.live, releases[1], Channel(releases[1].id, canary.number))
    kit.live = replace(kit.live, canary=Trial(canary, state))
    return canary


def logged(kit: Kit, request_id: str) -> dict[str, Any]:
    found = kit.log.request(request_id)
    assert found is not None
    return found[0]


def test_users_are_split_and_each_request_names_its_arm_and_release(
    kit: Kit, both: Canary, releases: tuple[Release, Release]
) -> None:
    by_arm: dict[str, set[str]] = {"champion": set(), "canary": set()}
    for user in USERS:
        answer = kit.recommend(user_id=user, request_id=f"r-{user}", k=3)
        arm = str(answer["arm"])
        by_arm[arm].add(user)
        assert answer["release"] == releases[arm == "canary"].id
        request = logged(kit, f"r-{user}")
        assert (request["arm"], request["release"]) == (arm, answer["release"])
        assert (request["canary"], request["phase"]) == (1, 0)
        assert request["seconds"] > 0
        assert answer["fallback"] is None
    assert min(len(users) for users in by_arm.values()) > 5
    assert by_arm["canary"] == {u for u in USERS if assign(both, u).arm == "canary"}


@pytest.mark.usefixtures("both")
def test_the_logged_propensity_is_that_of_the_arm_that_served(
    kit: Kit, releases: tuple[Release, Release]
) -> None:
    for user in USERS[:12]:
        answer = kit.recommend(user_id=user, request_id=f"r-{user}", k=5)
        found = kit.log.request(f"r-{user}")
        assert found is not None
        known = context.decode(found[0]["context"], kit.live.catalogue.item_ids)
        release = next(r for r in releases if r.id == answer["release"])
        assert known.policy["epsilon"] == release.policy.epsilon
        assert release.policy.epsilon != releases[release is releases[0]].policy.epsilon
        again = propensities(known, [slot["item_id"] for slot in found[1]], kit.live.catalogue)
        assert again.tolist() == [slot["propensity"] for slot in found[1]]


def test_a_repeat_is_of_its_arm_and_a_user_who_moves_is_drawn_for_anew(
    kit: Kit, both: Canary
) -> None:
    first = {user: kit.recommend(user_id=user) for user in USERS}
    for user in USERS:
        again = kit.recommend(user_id=user)
        assert again == first[user] | {"repeat": True}
    grown = canaries.grow(kit.log.engine, both, 1.0, None)
    assert kit.live.canary is not None
    kit.live = replace(kit.live, canary=replace(kit.live.canary, row=grown))
    for user in USERS:
        moved = kit.recommend(user_id=user)
        assert moved["arm"] == "canary"
        assert moved["repeat"] == (first[user]["arm"] == "canary")


def broken(live: Live) -> Live:
    """A state whose release cannot rank: features of no item."""
    return replace(live, item_features=np.zeros((0, len(ITEM_FEATURES)), dtype=np.float32))


@pytest.mark.parametrize("breaks", [broken, lambda _: None])
def test_users_of_a_canary_that_fails_get_the_champion_and_the_log_says_so(
    kit: Kit,
    both: Canary,
    releases: tuple[Release, Release],
    breaks: Callable[[Live], Live | None],
) -> None:
    trial = kit.live.canary
    assert trial is not None
    assert trial.live is not None
    kit.live = replace(kit.live, canary=replace(trial, live=breaks(trial.live)))
    for user in USERS:
        answer = kit.recommend(user_id=user, request_id=f"r-{user}")
        inside = assign(both, user).arm == "canary"
        assert answer["release"] == releases[0].id
        assert answer["source"] == "trees"
        assert answer["fallback"] == (FAILED if inside else None)
        assert logged(kit, f"r-{user}")["arm"] == ("canary" if inside else "champion")
    _, found = canary_evidence.count(kit.log.engine, both, CanaryParams(), SplitParams(), NOW, None)
    assert found.counts.failed.tolist() == [0, found.counts.requests[1]]
    assert found.counts.requests[1] > 5


def test_without_a_champion_the_control_is_recency_popularity(
    kit: Kit, releases: tuple[Release, Release]
) -> None:
    feed = items().append_column("sequence", [list(range(1, items().num_rows + 1))])
    live = with_feed(empty(), feed)
    canary = row(kit, releases[0].id, None)
    state = with_release(live, releases[0], Channel(releases[0].id, canary.number))
    kit.live = replace(live, canary=Trial(canary, state))
    seen = set()
    for user in USERS:
        answer = kit.recommend(user_id=user)
        seen.add((answer["arm"], answer["release"], answer["source"]))
    assert seen == {
        ("champion", None, "catalogue"),
        ("canary", releases[0].id, "trees"),
    }


def test_metrics_tell_the_arms_apart(kit: Kit, both: Canary) -> None:
    """All engines of a process share the counters, so what these requests add is compared."""
    metrics = kit.metrics

    def counted(arm: str) -> tuple[float, float]:
        release = both.release if arm == "canary" else both.control
        answers = metrics.recommends.labels(release, "trees", "home", arm)._value.get()
        slots = [metrics.slots.labels(release, e, arm)._value.get() for e in ("yes", "no")]
        return answers, sum(slots)

    arms = ("canary", "champion")
    before = {arm: counted(arm) for arm in arms}
    for user in USERS:
        kit.recommend(user_id=user, k=4)
    for arm in arms:
        users = sum((assign(both, user).arm == "canary") is (arm == "canary") for user in USERS)
        answers, slots = counted(arm)
        assert (answers - before[arm][0], slots - before[arm][1]) == (users, 4 * users)


def shadow_rows(engine: sa.Engine) -> list[dict[str, Any]]:
    with engine.connect() as connection:
        found = connection.execute(sa.text("SELECT * FROM shadow_slates ORDER BY request_id"))
        return [dict(row) for row in found.mappings()]


def under_shadow(kit: Kit, release: Release, live: Live | None, share: float = 1.0) -> None:
    shadow = canaries.start(kit.log.engine, "shadow", release.id, None, share, now=NOW)
    kit.live = replace(kit.live, shadow=Trial(shadow, live))


def test_a_shadow_logs_what_it_would_have_shown_and_changes_no_answer(
    kit: Kit, releases: tuple[Release, Release]
) -> None:
    under_shadow(kit, releases[1], with_release(kit.live, releases[1], None))
    for user in USERS[:6]:
        answer = kit.recommend(user_id=user, request_id=f"s-{user}", k=5, placement="item")
        assert (answer["release"], answer["arm"]) == (releases[0].id, None)
    kit.engine.close()
    found = shadow_rows(kit.log.engine)
    assert [row["request_id"] for row in found] == [f"s-{user}" for user in USERS[:6]]
    assert {row["release"] for row in found} == {releases[1].id}
    assert all(0 <= row["agreement"] <= 1 and row["error"] is None for row in found)
    assert kit.log.last_offset() == 6 * 5  # impressions of what was shown alone


def test_a_shadow_of_the_same_release_would_have_shown_the_same(
    kit: Kit, releases: tuple[Release, Release]
) -> None:
    under_shadow(kit, releases[0], with_release(kit.live, releases[0], None))
    for user in USERS[:4]:
        kit.recommend(user_id=user, k=8)
    kit.engine.close()
    assert [row["agreement"] for row in shadow_rows(kit.log.engine)] == [1.0] * 4


def test_a_shadow_that_fails_is_told_and_one_that_is_not_loaded_is_not_asked(
    kit: Kit, releases: tuple[Release, Release]
) -> None:
    state = with_release(kit.live, releases[1], None)
    under_shadow(kit, releases[1], replace(state, item_features=broken(state).item_features))
    kit.recommend(user_id="a")
    assert kit.live.shadow is not None
    kit.live = replace(kit.live, shadow=replace(kit.live.shadow, live=None))
    kit.recommend(user_id="b")
    kit.engine.close()
    (row,) = shadow_rows(kit.log.engine)
    assert row["error"] is not None


def test_a_share_of_the_requests_is_scored(kit: Kit, releases: tuple[Release, Release]) -> None:
    under_shadow(kit, releases[1], with_release(kit.live, releases[1], None), share=0.3)
    for n in range(60):
        kit.recommend(user_id=f"w{n}", request_id=f"w{n}", k=1)
    kit.engine.close()
    assert kit.live.shadow is not None
    salt = kit.live.shadow.row.salt
    chosen = {f"w{n}" for n in range(60) if place(salt, f"w{n}") < 0.3}
    assert 0 < len(chosen) < 60
    assert {row["request_id"] for row in shadow_rows(kit.log.engine)} == chosen
