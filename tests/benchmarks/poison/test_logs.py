"""Fakes in the log of a small world, and who of them is set aside."""

import pytest

from benchmarks.poison.attacks import FAKE, FORMS, attack
from benchmarks.poison.logs import read_events, targets, write_log
from features.schema import DAY
from simulation.market import START
from simulation.world import write
from simulation.world_params import WorldParams
from tests.features.people.test_people import found

WORLD = WorldParams(
    seed=5, humans=600, history_days=8, initial_items=400, new_items=10, sessions_per_day=200
)


@pytest.fixture(scope="module")
def flagged(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """By form of attack: who is set aside, where four items are pushed by six fakes each."""
    root = tmp_path_factory.mktemp("poison")
    market = write(WORLD, root / "clean")
    end, morning = START // DAY + 7, 7
    bots = set(market.users.user_ids[market.users.bot])
    crowd = read_events(root / "clean", bots, end - 5, end)
    pushed = list(targets(crowd, market.items, morning, seed=5).values())
    assert len({target.item for target in pushed}) == 4
    aside = {"clean": set(found(root / "clean")) - bots}
    for form in FORMS:
        fakes = attack(form, pushed, crowd, 6, seed=5)
        write_log(root / "clean", fakes, root / form)
        aside[form] = set(found(root / form)) - bots
    return aside


@pytest.mark.parametrize("form", FORMS)
def test_fakes_who_do_much_are_set_aside_and_nobody_else(
    flagged: dict[str, set[str]], form: str
) -> None:
    assert flagged["clean"] == set()
    fakes = {user for user in flagged[form] if user.startswith(FAKE)}
    assert flagged[form] == fakes
    # The other forms act like people; limits on what one person adds have to hold them.
    least = {"fast": 24, "slow": 18}.get(form, 0)
    assert len(fakes) >= least
    assert bool(fakes) == bool(least)
