"""What is played, once for each number: arrays that all figures are computed from.

Every task is drawn by its number, so that a killed benchmark goes on with those that are missing.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from base.arrays import Float64s
from benchmarks.gate import estimators
from benchmarks.gate.contenders import weights
from benchmarks.gate.looks import Look, Stage
from benchmarks.gate.recipes import RECIPES, REFRESHES
from features.ragged import Ragged
from training.metrics.ndcg import ndcg
from training.value.ordering import Ordering
from training.value.paired import Earned, Target, earned

Arrays = dict[str, Any]

#: True change of the contenders of a run. None: the release as it was trained.
LIFTS: Final[dict[str, float | None]] = {
    "trained": None,
    "equal": 0.0,
    "-2%": -0.02,
    "-3%": -0.03,
    "-5%": -0.05,
    "+5%": 0.05,
    "+10%": 0.1,
}
#: Days of a run, of a comparison of estimators, of each half of a swing, and of a ranking.
DAYS: Final = {"run": 20, "estimators": 20, "swing": 10, "ranking": 10}


def seed_of(kind: str, number: int, day: int) -> int:
    """The seed of a day. Days of different tasks never share one."""
    return ((list(DAYS).index(kind) + 1) * 100_000 + number) * 1_000 + day


def drawn(stage: Stage, kind: str, number: int) -> tuple[str, str]:
    """The release that serves, one of a recipe trained repeatedly, and another release."""
    random = np.random.default_rng([stage.bank.seed, list(DAYS).index(kind), number])
    server = str(random.choice(list(REFRESHES)))
    others = RECIPES if kind == "run" or random.random() < 0.5 else REFRESHES
    return server, str(random.choice([name for name in others if name != server]))


def compared(stage: Stage, look: Look, first: Ordering, second: Ordering, clip: float) -> Earned:
    """What two releases would have earned on a look, as the gate values it."""
    size = len(stage.morning.catalogue)
    policy = stage.policy
    return earned(look.shown, Target(first, policy), Target(second, policy), size, clip)


def run(stage: Stage, number: int, clip: float) -> Arrays:
    """One champion that serves, and contenders of chosen true value, for twenty days."""
    server, other = drawn(stage, "run", number)
    wanted = [lift for lift in LIFTS.values() if lift is not None]
    looks = [stage.look(server, seed_of("run", number, day)) for day in range(DAYS["run"])]
    rankings = [stage.rankings(other, look) for look in looks]
    mixed = [0.0, *weights(stage, looks, rankings, wanted)]
    rows: list[Arrays] = []
    for day, (look, ranked) in enumerate(zip(looks, rankings, strict=True)):
        served = look.shown.ordering
        columns: Arrays = _columns(stage, look, day)
        for name, weight in zip(LIFTS, mixed, strict=True):
            ordering = stage.ordering(ranked, look, weight)
            result = compared(stage, look, served, ordering, clip)
            columns[f"first {name}"], columns[f"second {name}"] = result.first, result.second
            columns[f"true {name}"], columns[f"wanted {name}"] = stage.truth(ordering, look)
            columns[f"effective {name}"] = np.array([result.effective])
            columns[f"clipped {name}"] = np.array([result.clipped[1]])
        rows.append(columns)
    return _stacked(rows) | {"server": server, "other": other, "weights": np.array(mixed)}


def estimate(stage: Stage, number: int, clip: float) -> Arrays:
    """Every estimator on the same days: the release that serves, and another one."""
    server, other = drawn(stage, "estimators", number)
    rows: list[Arrays] = []
    for day in range(DAYS["estimators"]):
        look = stage.look(server, seed_of("estimators", number, day))
        ordering = stage.ordering(stage.rankings(other, look), look)
        columns: Arrays = _columns(stage, look, day)
        columns["true other"], columns["wanted other"] = stage.truth(ordering, look)
        size = len(stage.morning.catalogue)
        for name, values in estimators.contributions(look.shown, ordering, size, clip).items():
            columns[f"first {name}"], columns[f"second {name}"] = values
        rows.append(columns)
    return _stacked(rows) | {"server": server, "other": other}


def swing(stage: Stage, number: int, clip: float) -> Arrays:
    """Two equal releases, compared on days that the one serves and on days that the other does."""
    server, other = drawn(stage, "swing", number)
    seeds = [seed_of("swing", number, day) for day in range(DAYS["swing"])]
    looks = [stage.look(server, seed) for seed in seeds]
    rankings = [stage.rankings(other, look) for look in looks]
    (weight,) = weights(stage, looks, rankings, [0.0])
    rows: list[Arrays] = []
    looks += [stage.look(other, seed, weight) for seed in seeds]
    for place, look in enumerate(looks):
        first = stage.ordering(stage.rankings(server, look), look)
        second = stage.ordering(stage.rankings(other, look), look, weight)
        pair = (first, second)
        result = compared(stage, look, first, second, clip)
        rows.append(
            {
                "served": np.array([place // len(seeds)]),
                "earned": np.array([[result.first.sum(), result.second.sum()]]),
                "true": np.array([[stage.truth(each, look)[0].sum() for each in pair]]),
                "ndcg": np.array([[_ndcg(look, each) for each in pair]]),
                "ndcg all": np.array([[_ndcg(look, each, clicks=True) for each in pair]]),
                "slates": np.array([len(look)]),
                "clicks": np.array([look.shown.clicks.sum()]),
            }
        )
    return _stacked(rows) | {"server": server, "other": other, "weights": np.array([weight])}


def ranking(stage: Stage, number: int, clip: float) -> Arrays:
    """All releases of the bank, valued on the same days that one of them serves."""
    server, _ = drawn(stage, "ranking", number)
    names = [name for name in RECIPES if name != server]
    rows: list[Arrays] = []
    for day in range(DAYS["ranking"]):
        look = stage.look(server, seed_of("ranking", number, day))
        served = look.shown.ordering
        found = []
        for name in names:
            ordering = stage.ordering(stage.rankings(name, look), look)
            result, true = (
                compared(stage, look, served, ordering, clip),
                stage.truth(ordering, look),
            )
            found.append(
                [
                    result.first.sum(),
                    result.second.sum(),
                    true[0].sum(),
                    true[1].sum(),
                    _ndcg(look, ordering),
                ]
            )
        true = stage.truth(served, look)
        rows.append(
            {
                "found": np.array([found]),
                "served": np.array([[each.sum() for each in true]]),
                "ndcg": np.array([_ndcg(look, served)]),
                "slates": np.array([len(look)]),
            }
        )
    return _stacked(rows) | {"server": server, "names": np.array(names)}


#: By kind.
TASKS: Final[dict[str, Callable[[Stage, int, float], Arrays]]] = {
    "run": run,
    "estimators": estimate,
    "swing": swing,
    "ranking": ranking,
}


def _columns(stage: Stage, look: Look, day: int) -> Arrays:
    true, wanted = stage.truth(look.shown.ordering, look)
    return {
        "people": look.shown.users,
        "day": np.full(len(look), day),
        "part": look.part,
        "clicks": look.shown.clicks.sum(axis=1),
        "true": true,
        "wanted": wanted,
    }


def _ndcg(look: Look, ordering: Ordering, clicks: bool = False) -> float:
    """NDCG@10 on organic choices, and on clicks on the slate if `clicks`, averaged by user."""
    chosen = _with_clicks(look) if clicks else look.organic
    rows = np.flatnonzero(chosen.lengths)
    lists = np.ascontiguousarray(ordering.items[rows, :10])
    values = ndcg(lists, chosen.select(rows))
    users, inverse = np.unique(look.shown.users[rows], return_inverse=True)
    means: Float64s = np.bincount(inverse, weights=values) / np.bincount(inverse)
    return float(means.mean()) if len(users) else 0.0


def _with_clicks(look: Look) -> Ragged:
    clicked = np.where(look.shown.clicks > 0, look.shown.items, -1)
    return Ragged.from_lists(
        [
            sorted({*look.organic[row].tolist(), *items[items >= 0].tolist()})
            for row, items in enumerate(clicked)
        ]
    )


def _stacked(rows: list[Arrays]) -> Arrays:
    stacked = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return {
        name: values.astype(np.float32) if values.dtype == np.float64 else values
        for name, values in stacked.items()
    }
