"""What is done about a canary."""

from dataclasses import replace

import numpy as np
import pytest

from tests.training.canary import users
from tests.training.canary.users import PARAMS
from training.canary import start
from training.canary.decision import decide
from training.canary.evidence import Evidence


def counted(evidence: Evidence, **arms: tuple[float, float]) -> Evidence:
    """Evidence with some counts by arm."""
    counts = {name: np.array(values) for name, values in arms.items()}
    return replace(evidence, counts=replace(evidence.counts, **counts))


def test_with_few_users_it_goes_on_and_says_what_it_waits_for() -> None:
    look = decide(users.alike((30, 4, 0.5), (19, 4, 0.1)), PARAMS, days=1)
    assert (look.action, look.share) == ("continue", 0.5)
    assert "compared from 20 in each" in look.reason


def test_a_canary_that_earns_less_is_rolled_back() -> None:
    look = decide(users.alike((3_000, 4, 0.5), (3_000, 4, 0.4)), PARAMS, days=1)
    assert look.action == "roll back"
    assert look.reason.startswith("it earns less: clicks per slate -20.0%")


def test_a_canary_that_is_shown_not_to_be_worse_succeeds() -> None:
    look = decide(users.alike((600, 4, 0.5), (600, 4, 0.8)), PARAMS, days=1)
    assert (look.action, look.missing) == ("succeed", 0.0)


def test_it_grows_as_far_as_the_risk_allows_and_says_how_many_people_are_missing() -> None:
    evidence = users.alike((2_000, 4, 0.5), (2_000, 4, 0.5))
    small = replace(evidence, shares=(0.1,), arrivals=np.array([[3_600.0, 400.0]]))
    look = decide(small, PARAMS, days=1)
    assert (look.action, look.share) == ("grow", 0.2)
    assert "at a share of 20% at most" in look.reason
    assert look.missing is not None
    assert look.missing > 0
    assert decide(evidence, PARAMS, days=1).action == "continue"  # half is the most
    careful = decide(small, replace(PARAMS, risk=0.01), days=1)
    assert (careful.action, careful.share) == ("continue", 0.1)


def test_an_undecided_canary_ends() -> None:
    evidence = users.alike((300, 4, 0.5), (300, 4, 0.5))
    assert decide(evidence, PARAMS, days=27.9).action == "continue"
    assert decide(evidence, PARAMS, days=28).action == "stop"


@pytest.mark.parametrize(
    ("arms", "reason"),
    [
        ({"requests": (500.0, 500.0), "failed": (0.0, 40.0)}, "failed to answer 40 of its 500"),
        ({"requests": (500.0, 500.0), "slow": (5.0, 150.0)}, "30.0% of its requests take longer"),
        (
            {"slots": (5_000.0, 5_000.0), "pairs": (125_000.0, 2_500_000.0)},
            "as few items as 10 shown equally often, the control as 200",
        ),
    ],
)
def test_a_guard_rolls_a_canary_back_whatever_it_earns(
    arms: dict[str, tuple[float, float]], reason: str
) -> None:
    good = users.alike((600, 4, 0.5), (600, 4, 0.8))
    look = decide(counted(good, **arms), PARAMS, days=1)
    assert look.action == "roll back"
    assert reason in look.reason


@pytest.mark.parametrize(
    "arms",
    [
        {"requests": (500.0, 500.0), "failed": (0.0, 5.0)},
        {"requests": (500.0, 500.0), "slow": (150.0, 150.0)},  # a busy machine
        {"slots": (5_000.0, 5_000.0), "pairs": (125_000.0, 200_000.0)},
    ],
)
def test_guards_let_pass_what_chance_or_both_arms_explain(
    arms: dict[str, tuple[float, float]],
) -> None:
    good = users.alike((600, 4, 0.5), (600, 4, 0.8))
    assert decide(counted(good, **arms), PARAMS, days=1).action == "succeed"


@pytest.mark.parametrize(
    ("arms", "missing"),
    [
        ({"requests": (500.0, 20.0)}, "the guards need 80 more requests in an arm"),
        # Few items, of which too few slots were shown to judge it.
        (
            {"slots": (5_000.0, 500.0), "pairs": (125_000.0, 100_000.0)},
            "the guards need 500 more items shown in an arm",
        ),
    ],
)
def test_a_success_waits_until_the_guards_have_seen_enough(
    arms: dict[str, tuple[float, float]], missing: str
) -> None:
    good = users.alike((600, 4, 0.5), (600, 4, 0.8))
    look = decide(counted(good, **arms), PARAMS, days=1)
    assert (look.action, look.missing) == ("continue", 0.0)
    assert look.reason.startswith("its reward is at most 5% below the control's")
    assert look.reason.endswith(missing)
    assert decide(counted(good, **arms), PARAMS, days=28).action == "stop"


def test_variety_is_compared_of_arms_with_similar_numbers_of_users() -> None:
    """Slates of one user hold the same items again, which says nothing of the release."""
    narrow: dict[str, tuple[float, float]] = {
        "slots": (5_000.0, 5_000.0),
        "pairs": (125_000.0, 500_000.0),
    }
    few = counted(users.alike((400, 4, 0.5), (25, 4, 0.5)), **narrow)
    few = replace(few, shares=(0.1,), arrivals=np.array([[225.0, 25.0]]))
    assert decide(few, PARAMS, days=1).action == "continue"
    same = counted(users.alike((30, 4, 0.5), (25, 4, 0.5)), **narrow)
    assert decide(same, PARAMS, days=1).action == "roll back"
    many = counted(users.alike((60, 4, 0.5), (60, 4, 0.5)), **narrow)
    assert decide(many, PARAMS, days=1).action == "roll back"


@pytest.mark.parametrize(
    ("users_seen", "first", "expected"),
    [
        (0, True, 0.2),  # nobody is known yet
        (60, True, 0.5),
        (250, True, 0.4),
        (400, False, 0.25),
        (100_000, True, 0.2),
        (100_000, False, 0.1),
    ],
)
def test_a_small_shop_starts_with_a_larger_share_but_at_most_half(
    users_seen: int, first: bool, expected: float
) -> None:
    assert start.share(users_seen, PARAMS, first) == pytest.approx(expected)
    if users_seen:
        most = min(users_seen, start.users_asked(PARAMS, first))
        assert start.share(most, PARAMS, first) == pytest.approx(expected)


def test_a_canary_whose_requests_are_lost_is_rolled_back() -> None:
    evidence = users.alike((600, 4, 0.5), (420, 4, 0.8))
    look = decide(evidence, PARAMS, days=1)
    assert look.action == "roll back"
    assert "users are not split as assigned: 420 of 1020" in look.reason
