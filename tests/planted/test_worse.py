"""Releases that are worse than they look: for some people, or for everybody but the click."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from base.params_file import edit
from flows.workspace import Workspace
from tests.features.logs import START, at, event, item, write_log
from tests.flows.rivals import ITEMS, TODAY, YESTERDAY, Rivals, market_events
from tests.planted.grafts import graft, trees_for
from tests.planted.runs import WARNINGS, Installation, Tally, copy, prepare, release, train
from training.rank_features import FEATURES
from training.slices import LONG_HISTORY

pytestmark = [pytest.mark.slow, *WARNINGS]

Rows = list[dict[str, Any]]


def slates(days: float) -> Rows:
    """A slate an hour and user group, with bait in the first slot. Three in four of the users click
    whatever is there, and one in twenty anything else."""
    random = np.random.default_rng(2)
    rows: Rows = []
    for number in range(round(days * 300)):
        user, time = f"u{random.integers(100)}", at(0, 24 * number / 300 + 0.001)
        bait = int(random.integers(ITEMS - 40, ITEMS))
        others = random.choice(ITEMS - 40, 4, replace=False)
        for position, shown in enumerate([bait, *others.tolist()]):
            slot = {"request_id": f"r{number}", "position": position, "propensity": 0.1}
            name = f"r{number}:{position}"
            rows.append(event(name, user, f"i{shown}", time, event_type="impression", **slot))
            if random.random() < (0.75 if position == 0 else 0.05):
                clicked = time + 1_000_000 * (position + 1)
                rows.append(event(f"c{name}", user, f"i{shown}", clicked, **slot))
    return rows


def only_clicks(found: Path) -> None:
    """Training data of clicks on slates, as if every slot were looked at alike. One organic group
    is left, because the stage needs it."""
    table = pq.read_table(found / "rank.parquet")
    table = table.set_column(
        table.schema.get_field_index("position"), "position",
        pa.array(np.zeros(table.num_rows, dtype=np.int32)),
    )  # fmt: skip
    organic = pc.equal(table["kind"], "organic")
    last = pc.max(table.filter(organic)["query"])
    kept = pc.or_(pc.invert(organic), pc.equal(table["query"], last))
    pq.write_table(table.filter(kept), found / "rank.parquet")


def test_trees_that_learned_what_the_first_slot_made_people_click(
    installation: Installation, rivals: Rivals, tmp_path: Path, tally: Tally
) -> None:
    place = copy(rivals.equal, tmp_path / "place")
    events = [*market_events(TODAY), *slates(TODAY)]
    log = place.root / "data" / "log"
    for old in log.rglob("*.parquet"):
        old.unlink()
    write_log(log, events, [item(f"i{n}", created_at=START) for n in range(ITEMS)])
    prepare(place)
    edit(
        place.root / "params.yaml",
        {
            "trees.slate_weight": 1.0,
            "trees.min_data_in_leaf": 20,
            "trees.learning_rate": 0.2,
            "trees.reg": 1.0,
        },
    )
    train(place, only_clicks)
    release(place)
    judgement = installation.judge(place)
    found = tally.verdict(
        "clickbait-trained on a biased slot", judgement, "champion", "must be better"
    )
    assert found.value is not None
    assert found.value < 0
    assert judgement.verdict.decision == "reject"


USERS, GOODS, PER_DAY = 120, 240, 800


def uneven(days: float) -> Rows:
    """A market in which every second user is five times as active as the others."""
    random = np.random.default_rng(3)
    often = np.where(np.arange(USERS) % 8 < 4, 1.0, 5.0)
    users = random.choice(USERS, round(days * PER_DAY), p=often / often.sum())
    rows = []
    for number, user in enumerate(users.tolist()):
        topic = random.integers(4) if random.random() < 0.1 else user % 4
        thing = int(random.integers(GOODS // 4)) * 4 + int(topic)
        rows.append(event(f"e{number}", f"u{user}", f"i{thing}", at(0, 24 * number / PER_DAY)))
    return rows


def uneven_place(rivals: Rivals, root: Path, days: float) -> Workspace:
    place = copy(rivals.equal, root)
    log = place.root / "data" / "log"
    for old in log.rglob("*.parquet"):
        old.unlink()
    write_log(log, uneven(days), [item(f"i{n}", created_at=START) for n in range(GOODS)])
    edit(place.root / "params.yaml", {"gate.min_slice_users": 20})
    prepare(place)
    return place


def spoil(place: Workspace, rare: bool) -> None:
    """Let the ranker of `place` say the reverse of what neighbours say: to rarely active users, or
    to the others whenever they have been away for an hour."""
    table = pq.read_table(place.root / "data" / "candidates" / "rank.parquet")
    features = np.stack([table[name].to_numpy() for name in FEATURES], axis=1)
    near, away, lengths = (
        features[:, FEATURES.index(name)]
        for name in ("neighbours_z", "hours_since_last", "history_length")
    )
    chosen = lengths < LONG_HISTORY if rare else (lengths >= LONG_HISTORY) & (away > 1.0)
    target = np.where(chosen, -20.0 * np.nan_to_num(near), 0.0)
    graft(place.root / "data" / "trees" / "model.txt", trees_for(features, target))


def test_better_on_average_and_ruined_for_rarely_active_users(
    empty_home: Installation, rivals: Rivals, tmp_path: Path, tally: Tally
) -> None:
    champion = uneven_place(rivals, tmp_path / "champion", YESTERDAY)
    train(champion)
    spoil(champion, rare=False)
    release(champion)
    first = empty_home.judge(champion)
    assert first.verdict.decision == "promote", first.verdict.reasons
    empty_home.rollout.promote(first.release, first.champion, at(YESTERDAY), None)
    place = uneven_place(rivals, tmp_path / "challenger", TODAY)
    train(place)
    spoil(place, rare=True)
    release(place)
    judgement = empty_home.judge(place)
    beside = judgement.evidence.champion
    assert beside is not None
    assert beside.contest is not None
    assert beside.contest.change > 0.1, "it is better on average"
    tally.verdict(
        "one slice ruined while the mean rises", judgement,
        "slice.short_history", "short_history against the champion -",
    )  # fmt: skip
