"""Accounts that push one item."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.requests.training_set import load_catalogue, load_queries
from flows.workspace import Workspace
from tests.features.logs import at, event, write_log
from tests.flows.rivals import ITEMS, Rivals
from tests.planted.runs import WARNINGS, Tally, copy, prepare, train
from training.recommender import Recommender

pytestmark = [pytest.mark.slow, *WARNINGS]

#: An item that few people are shown.
PUSHED, FAKES = "i11", 20


def pushes() -> list[dict[str, Any]]:
    """Accounts that choose the item again and again, and other items beside it, so that it becomes
    a neighbour of these."""
    return [
        event(f"push{n}-{k}", f"fake{n}", item, at(2, 4.1 * k + 0.3 * n))
        for n in range(FAKES)
        for k in range(20)
        for item in [PUSHED if k % 2 else f"i{(4 * (n + 7 * k) + 3) % ITEMS}"]
    ]


def exposure(place: Workspace) -> float:
    """The share of people's requests in the judge window whose ten best hold the item."""
    data = place.root / "data"
    catalogue = load_catalogue(data / "split")
    queries = load_queries(data / "split", data / "features", "judge", "organic")
    people = ~np.char.startswith(queries.requests.user_ids.astype(str), "fake")
    asked = queries.select(np.flatnonzero(people)).requests
    recommender = Recommender.assemble(
        catalogue, data / "candidates" / "sources", None, data / "trees"
    )
    pushed = int(np.flatnonzero(catalogue.item_ids == PUSHED)[0])
    return float((recommender.rank(asked).top(10) == pushed).any(axis=1).mean())


def test_an_item_that_bots_inflate_is_not_shown_more(
    rivals: Rivals, tmp_path: Path, tally: Tally
) -> None:
    shown = {}
    for name, rows, set_aside in (
        ("clean", [], True),
        ("pushed", pushes(), True),
        ("undetected", pushes(), False),
    ):
        place = copy(rivals.equal, tmp_path / name)
        write_log(place.root / "data" / "log", rows, first=10**6)
        prepare(place, set_aside)
        train(place)
        shown[name] = exposure(place)
        if name == "pushed":
            people = pq.read_table(place.root / "data" / "split" / "people.parquet").to_pylist()
    assert {row["user_id"] for row in people} == {f"fake{n}" for n in range(FAKES)}
    assert all(f"push item {PUSHED}" in row["reason"] for row in people)
    assert shown["pushed"] <= 2 * shown["clean"] < shown["undetected"]
    tally.count("bot-inflated item")
