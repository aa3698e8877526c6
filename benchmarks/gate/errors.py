"""Error rates of the gate's decisions on played runs."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from benchmarks.gate.deciding import Decided, decide
from benchmarks.gate.shares import share
from benchmarks.gate.tasks import LIFTS, Arrays
from training.thresholds import GateParams

#: By contender: the numbers of slates after which the power of a changed recipe is told. None: all.
POWER: Final[dict[str, tuple[int | None, ...]]] = {
    "+5%": (2_400, 6_000, None),
    "+10%": (2_400, 6_000, None),
    "-5%": (None,),
}
REFRESHES: Final = ("equal", "-2%", "-3%", "-5%")
EQUAL: Final = "equal"

#: What was decided on a run: by contender, and whether it counts as a refresh.
Run = dict[tuple[str, bool], list[Decided]]


def decisions(played: Arrays, thresholds: GateParams) -> Run:
    """The decisions on all contenders of a run, by both rules."""
    return {
        (name, refresh): list(decide(played, name, refresh, thresholds))
        for name in LIFTS
        for refresh in (False, True)
    }


def rates(runs: Sequence[Run], per_look: float) -> dict[str, Any]:
    """`aa_false_promotion`, `power` and `refresh`. per_look: mean number of slates of a look."""
    return {
        "aa_false_promotion": _rate(runs, EQUAL, False, None, per_look),
        "power": [
            _row(runs, name, False, slates, per_look)
            for name, each in POWER.items()
            for slates in each
        ],
        "refresh": [_row(runs, name, True, None, per_look) for name in REFRESHES],
    }


def promoted_by(runs: Sequence[Run], name: str, refresh: bool, looks: int) -> list[float]:
    """Share of runs that had promoted a contender after 1, 2, … looks."""
    return [
        float(np.mean([_promoted(run[name, refresh], look) for run in runs]))
        for look in range(1, looks + 1)
    ]


def _row(
    runs: Sequence[Run], name: str, refresh: bool, slates: int | None, per_look: float
) -> dict[str, Any]:
    found = _rate(runs, name, refresh, slates, per_look)
    return {
        "lift": LIFTS[name],
        "slates": slates if slates is not None else round(20 * per_look),
        "promoted": found["share"],
        "low": found["low"],
        "high": found["high"],
        "replicates": found["count"],
    }


def _rate(
    runs: Sequence[Run], name: str, refresh: bool, slates: int | None, per_look: float
) -> dict[str, Any]:
    looks = 10**6 if slates is None else round(slates / per_look)
    hits = sum(_promoted(run[name, refresh], looks) for run in runs)
    return share(hits, len(runs))


def _promoted(looks: Sequence[Decided], most: int) -> bool:
    return any(look.decision == "promote" for look in looks[:most])
