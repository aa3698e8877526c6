"""The content of `reports/bench-gate.json`, from what has been played."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.gate import errors, fairness, values
from benchmarks.gate.playing import Task, read
from benchmarks.gate.tasks import LIFTS, Arrays
from training.thresholds import GateParams

#: Figures that other programs measure: key, its file in the folder of reports, and the key there
#: (None: the whole file). `make bench-canary` and `make bench-planted` write the first two.
ELSEWHERE: Final[tuple[tuple[str, str, str | None], ...]] = (
    ("canary_false_rollback", "bench-canary.json", "canary_false_rollback"),
    ("canary_detection", "bench-canary.json", "canary_detection"),
    ("planted_failures", "bench-planted.json", None),
    ("poisoning_exposure_ratio", "bench-poison.json", "poisoning_exposure_ratio"),
)
#: The contender whose values are as trained, so that intervals are judged on real releases.
TRAINED: Final = "trained"

#: Where the number of a figure with details is.
HEADLINES: Final[dict[str, tuple[str, ...]]] = {
    "aa_false_promotion": ("share",),
    "ope_coverage": ("share",),
    "ope_bias": ("mean",),
    "swing": ("value", "mean"),
    "rank_correlation": (f"{fairness.WINDOWS[0]} days", "value", "mean"),
    "canary_false_rollback": ("rolled_back",),
    "canary_detection": ("rolled_back",),
}


@dataclass(frozen=True)
class Results:
    """Everything that the report shows. content: what is written as JSON."""

    content: dict[str, Any]
    runs: Sequence[errors.Run]
    windows: dict[str, list[values.Window]]
    rankings: Sequence[Arrays]


def gather(wanted: Sequence[Task], thresholds: GateParams, reports: Path) -> Results:
    """Compute all figures from the tasks that were played. What was not is null or empty."""
    decided: list[errors.Run] = []
    slates: list[float] = []
    by_days: dict[int, list[list[values.Window]]] = {days: [] for days in values.WINDOWS}
    contenders: dict[str, list[list[values.Window]]] = {name: [] for name in LIFTS}
    traffic: list[Arrays] = []
    for _, played in read(wanted, "run"):
        decided.append(errors.decisions(played, thresholds))
        slates.append(len(played["day"]) / (int(played["day"].max()) + 1))
        traffic.append({name: played[name] for name in ("day", "people", "clicks")})
        for days, found in by_days.items():
            found.append(list(values.windows(played, TRAINED, TRAINED, days)))
        for name, found in contenders.items():
            found.append(list(values.windows(played, name, name, values.MAIN)))
    estimators: dict[str, list[list[values.Window]]] = {}
    for _, played in read(wanted, "estimators"):
        for name in (n.removeprefix("first ") for n in played if n.startswith("first ")):
            window = list(values.windows(played, name, "other", values.MAIN))
            estimators.setdefault(name, []).append(window)
    per_look = float(np.mean(slates)) if slates else 0.0
    swings = [played for _, played in read(wanted, "swing")]
    rankings = [played for _, played in read(wanted, "ranking")]
    main = values.figures(by_days[values.MAIN]) if decided else {}
    content: dict[str, Any] = {
        "seeds": sorted({task.bank.seed for task in wanted}),
        "runs": len(decided),
        "slates_per_look": round(per_look),
        **(errors.rates(decided, per_look) if decided else _NOTHING),
        "ope_coverage": main.get("coverage"),
        "ope_bias": main.get("bias"),
        "ope_se_10000": main.get("se_10000"),
        "on_policy_se_10000": round(values.on_policy(traffic), 6) if traffic else None,
        "swing": fairness.swing(swings) if swings else None,
        "rank_correlation": fairness.ranks(rankings) if rankings else None,
        **{key: _elsewhere(reports / file, name) for key, file, name in ELSEWHERE},
        "values": {
            "by_days": _figures(by_days),
            "by_contender": _figures(contenders),
            "by_estimator": _figures(estimators),
        },
    }
    flat = {name: [w for task in found for w in task] for name, found in estimators.items()}
    return Results(_numbers_first(content), decided, flat, rankings)


def _numbers_first(content: dict[str, Any]) -> dict[str, Any]:
    """Each figure as a number, and what is known of it, such as its interval, under `details`."""
    details = {key: content[key] for key in HEADLINES if isinstance(content[key], dict)}
    numbers = {key: _headline(details[key], *HEADLINES[key]) for key in details}
    return content | numbers | {"details": details}


def _headline(found: dict[str, Any], *path: str) -> Any:
    for name in path:
        found = found[name]
    return found


def _figures(found: Mapping[Any, list[list[values.Window]]]) -> dict[Any, Any]:
    return {name: values.figures(tasks) for name, tasks in found.items() if any(tasks)}


_NOTHING: Final[dict[str, Any]] = {"aa_false_promotion": None, "power": [], "refresh": []}


def _elsewhere(path: Path, key: str | None) -> Any:
    if not path.exists():
        return None
    content = json.loads(path.read_text())
    return content if key is None else content.get(key)
