"""Decisions of the real gate on played runs."""

from benchmarks.gate import errors
from benchmarks.gate.deciding import PARTS, decide
from benchmarks.gate.tasks import LIFTS
from tests.benchmarks.gate.played import SLATES, played
from tests.training import market
from training.slices import request_slices
from training.thresholds import GateParams

GATE = GateParams()


def test_a_better_contender_is_promoted_and_the_run_ends_there() -> None:
    looks = list(decide(played({"better": 0.1}), "better", False, GATE))
    assert [look.decision for look in looks[:-1]] == ["hold"] * (len(looks) - 1)
    assert looks[-1].decision == "promote"
    assert [look.slates for look in looks] == [SLATES * n for n in range(1, len(looks) + 1)]
    assert looks[-1].change > looks[-1].bound * looks[-1].error


def test_an_equal_contender_passes_as_a_refresh_and_not_as_a_changed_recipe() -> None:
    run = played({"equal": 0.0}, noise=0.3)
    assert [look.decision for look in decide(run, "equal", True, GATE)][-1] == "promote"
    changed = [look.decision for look in decide(run, "equal", False, GATE)]
    assert len(changed) == 20
    assert "promote" not in changed


def test_a_ruined_slice_stands_in_the_way_while_the_mean_rises() -> None:
    run = played({"better": 0.2})
    ruined = run["part"] == 1
    run["second better"][ruined] -= 0.5 * run["true"][ruined]
    run["second better"][~ruined] += 0.5 * run["true"][~ruined]
    assert "promote" not in [look.decision for look in decide(run, "better", False, GATE)]


def test_parts_are_the_slices_of_requests() -> None:
    assert tuple(request_slices(market.requests(market.random_lists(3), 10))) == PARTS


def test_rates_count_promotions_until_the_slates_asked_for() -> None:
    worse = dict.fromkeys(LIFTS, -0.05)
    runs = []
    for seed, changes in enumerate((worse | {"+5%": 0.3}, worse)):
        arrays = played(changes, seed)
        runs.append(errors.decisions(arrays, GATE))
    found = errors.rates(runs, SLATES)
    assert found["aa_false_promotion"]["share"] == 0.0
    rows = {(row["lift"], row["slates"]): row["promoted"] for row in found["power"]}
    assert rows[0.05, 2_400] == 0.5
    assert rows[-0.05, 20 * SLATES] == 0.0
    assert [row["lift"] for row in found["refresh"]] == [0.0, -0.02, -0.03, -0.05]
    assert errors.promoted_by(runs, "+5%", False, 20)[-1] == 0.5
