"""How much newer data alone move the judgement of a changed recipe, with and without the twin.

    python -m benchmarks.gate.freshness --seeds 1 2 3 --ages 1 3

A champion serves that was fitted some days ago. The challenger's recipe differs from its own in
nothing but a seed, so as recipes the two are equal. The challenger is compared with the champion's
own weights, and with the twin: the champion's recipe, fitted on the challenger's data.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from base.arrays import Bools
from benchmarks.gate.bank import Bank
from benchmarks.gate.looks import Look, Stage
from benchmarks.gate.recipes import REFRESHES
from benchmarks.gate.shares import mean
from benchmarks.gate.tasks import compared
from training.recommender import Recommender
from training.thresholds import GateParams
from training.value import relative
from training.value.ordering import Ordering

#: Recipe of the champion; the others are the challengers'.
CHAMPION: Final = "seed1"
#: Length of the history of the default world. The day after it is played.
HISTORY_DAYS: Final = 10
#: Seeds of the days that are played are far from those of other benchmarks.
_FIRST_DAY: Final = 900_000_000


@dataclass(frozen=True)
class Compared:
    """One challenger against one other release on the same slates.

    change: by the gate's statistic; error: its standard error; true: the true change.
    """

    change: float
    error: float
    true: float


@dataclass(frozen=True)
class Case:
    """One challenger. age: days by which the champion's data are older."""

    seed: int
    age: int
    challenger: str
    slates: int
    champion: Compared
    twin: Compared


def cases(
    seed: int, ages: Sequence[int], challengers: Sequence[str], days: int, home: Path | None
) -> Iterator[Case]:
    """The cases of one world."""
    fresh = Bank.of(seed, home)
    for name in (CHAMPION, *challengers):
        fresh.build(name, REFRESHES[name])
    stage = Stage(fresh)
    for age in ages:
        older = Bank.of(seed, home, history_days=HISTORY_DAYS - age)
        older.build(CHAMPION, REFRESHES[CHAMPION])
        stale = _Serving(stage, f"{age} days old", older.load(CHAMPION, stage.morning.catalogue))
        looks = [stale.look(_FIRST_DAY + 1000 * age + day) for day in range(days)]
        own = [look.shown.ordering for look in looks]
        twin = [stage.ordering(stage.rankings(CHAMPION, look), look) for look in looks]
        for name in challengers:
            mine = [stage.ordering(stage.rankings(name, look), look) for look in looks]
            yield Case(
                seed,
                age,
                name,
                sum(map(len, looks)),
                _compared(stage, looks, own, mine),
                _compared(stage, looks, twin, mine),
            )


class _Serving:
    """A release that is not in the stage's bank, and serves on it under a name."""

    def __init__(self, stage: Stage, name: str, release: Recommender) -> None:
        known = stage.release
        stage.release = lambda asked: release if asked == name else known(asked)  # type: ignore[assignment]
        self.stage, self.name = stage, name

    def look(self, seed: int) -> Look:
        return self.stage.look(self.name, seed)


def _compared(
    stage: Stage, looks: Sequence[Look], first: Sequence[Ordering], second: Sequence[Ordering]
) -> Compared:
    clip = GateParams().clip
    sums, true = [], np.zeros(2)
    for look, theirs, mine in zip(looks, first, second, strict=True):
        found = compared(stage, look, theirs, mine, clip)
        ids = look.shown.users.astype(str).astype(object)
        every: Bools = np.ones(len(ids), dtype=np.bool_)
        sums.append(relative.sums(found.second, found.first, ids, every))
        true += [float(stage.truth(each, look)[0].sum()) for each in (theirs, mine)]
    change = relative.change(sums)
    return Compared(change.mean, change.error, float(true[1] / true[0] - 1.0))


def summary(found: Sequence[Case], z: float) -> dict[str, Any]:
    """By age and by what the challenger is compared with: mean change and true change with their
    intervals over worlds, and how many challengers exceed `z` standard errors.

    `newer data`: the difference of the two changes, in which the luck of the champion's seed
    cancels.
    """
    told: dict[str, Any] = {}
    for age in sorted({case.age for case in found}):
        part = [case for case in found if case.age == age]
        for name in ("champion", "twin"):
            each: list[Compared] = [getattr(case, name) for case in part]
            told[f"{age} days, {name}"] = {
                "change": _by_world(part, [one.change for one in each]),
                "true": _by_world(part, [one.true for one in each]),
                "error": round(float(np.mean([one.error for one in each])), 6),
                "superior": sum(one.change > z * one.error for one in each),
                "of": len(each),
            }
        by_data = [case.champion.change - case.twin.change for case in part]
        told[f"{age} days, newer data"] = _by_world(part, by_data)
    return told


def _by_world(found: Sequence[Case], values: Sequence[float]) -> dict[str, Any]:
    """The mean over worlds: challengers of one world meet the same champion and the same slates."""
    worlds = np.unique([case.seed for case in found], return_inverse=True)[1]
    return mean(np.bincount(worlds, weights=values) / np.bincount(worlds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--ages", type=int, nargs="+", default=[1, 3], help="days")
    parser.add_argument("--challengers", nargs="+", default=["seed2", "seed3"])
    parser.add_argument("--days", type=int, default=3, help="days of slates")
    parser.add_argument("--z", type=float, default=2.2, help="bound in standard errors")
    parser.add_argument("--home", type=Path, help="folder of the banks")
    asked = parser.parse_args()
    found = []
    for seed in asked.seeds:
        for case in cases(seed, asked.ages, asked.challengers, asked.days, asked.home):
            print(json.dumps(asdict(case)), flush=True)
            found.append(case)
    print(json.dumps(summary(found, asked.z), indent=2))


if __name__ == "__main__":
    main()
