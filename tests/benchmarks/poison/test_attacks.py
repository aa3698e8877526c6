"""What fakes do, by form of attack."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from benchmarks.poison.attacks import FORMS, Crowd, Target, attack
from features.schema import DAY, EVENT, SECOND

FIRST = 19_800
PEOPLE = pd.DataFrame(
    [
        (f"u{user}", f"i{user + k}", "click", (FIRST + k) * DAY + 30 * k * SECOND)
        for user in range(20)
        for k in range(5)
    ],
    columns=["user_id", "item_id", "event_type", "timestamp"],
)
CROWD = Crowd(PEOPLE, sorted(PEOPLE["item_id"].unique()))
TARGETS = [Target("old", FIRST, FIRST + 5), Target("new", FIRST + 3, FIRST + 5)]


def acts(form: str) -> pd.DataFrame:
    table = attack(form, TARGETS, CROWD, 10, seed=1)
    assert table.schema == EVENT
    events: pd.DataFrame = table.to_pandas()
    events["timestamp"] = table["timestamp"].cast(pa.int64()).to_numpy()
    return events


@pytest.mark.parametrize("form", FORMS)
def test_every_fake_pushes_its_own_item_on_its_days(form: str) -> None:
    events = acts(form)
    for place, target in enumerate(TARGETS):
        own = events[events["user_id"].str.startswith(f"fake{place}-")]
        pushes = own[own["item_id"] == target.item]
        assert pushes["user_id"].nunique() == 10
        assert pushes["timestamp"].between(target.first * DAY, target.last * DAY).all()
        assert not (own["item_id"] == TARGETS[1 - place].item).any()
    assert events["event_id"].is_unique


def test_fast_and_slow_differ_in_pace_only() -> None:
    pauses = {}
    for form in ("fast", "slow"):
        events = acts(form)
        events["day"] = events["timestamp"] // DAY
        pauses[form] = events.groupby(["user_id", "day"])["timestamp"].diff().median() / SECOND
        assert (events["item_id"].isin(["old", "new"])).mean() == 0.5
    assert pauses["fast"] < 1 < 20 < pauses["slow"]


def test_few_and_once_do_nothing_else_and_cover_does_what_a_person_does() -> None:
    assert set(acts("few")["item_id"]) == set(acts("once")["item_id"]) == {"old", "new"}
    cover = acts("cover")
    beside = cover[~cover["item_id"].isin(["old", "new"])]
    counts = beside.groupby("user_id").size()
    assert np.all(counts == 5)
