"""One picture for each figure of the gate benchmark."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.gate import errors, fairness, values
from benchmarks.gate.results import Results
from benchmarks.gate.tasks import DAYS, LIFTS

COLOURS: Final = ("#1b6ca8", "#c9742b", "#7a4fb5", "#3a8a4d", "#b5384d", "#555555", "#c2a83e")

#: Largest estimated change that is shown beside the true one, %: without a clip, some are beyond.
SHOWN: Final = 30


def pictures(results: Results) -> dict[str, Figure]:
    """Pictures by title, of what has been measured."""
    content, found = results.content, {}
    details = content["details"]
    if results.runs:
        per_look = content["slates_per_look"]
        found["Promotions by slates: changed recipe"] = _promotions(results, False, per_look)
        found["Promotions by slates: refresh"] = _promotions(results, True, per_look)
        found["Coverage of 95 % intervals"] = _bars(content, "coverage", "share", 0.95)
        found["Bias of the change"] = _bars(content, "bias", "mean", 0.0)
    if content["values"]["by_estimator"]:
        found["Standard error at 10,000 slates"] = _errors(content)
        found["Estimated and true change"] = _scatter(results)
    if "swing" in details:
        found["Swing of an equal pair by who served"] = _swing(details["swing"])
    if results.rankings:
        found["Rank correlation with true reward"] = _ranks(details["rank_correlation"])
        found["Estimated and true change of all good releases"] = _ranking(results)
    canary = {k: of for k, of in details.items() if k.startswith("canary")}
    if canary:
        found["Canaries rolled back"] = _canaries(canary)
    if content["planted_failures"]:
        found["Planted failures"] = _planted(content["planted_failures"])
    if content["poisoning_exposure_ratio"] is not None:
        found["Exposure of an item that fakes push"] = _poisoned(content)
    return found


def _axes(width: float = 8.0, height: float = 4.0) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(alpha=0.3)
    return figure, axes


def _promotions(results: Results, refresh: bool, per_look: int) -> Figure:
    figure, axes = _axes()
    looks = DAYS["run"]
    for colour, name in zip(COLOURS, LIFTS, strict=True):
        if name == "trained":
            continue
        shares = errors.promoted_by(results.runs, name, refresh, looks)
        slates = per_look * np.arange(1, looks + 1)
        axes.step(slates, shares, where="post", color=colour, label=name)
    axes.axhline(0.05, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="slates", ylabel="share of runs promoted by then", ylim=(-0.02, 1.02))
    figure.legend(title="true change", loc="outside right upper")
    return figure


def _bars(content: dict[str, Any], key: str, middle: str, goal: float) -> Figure:
    of_days, of_names = content["values"]["by_days"], content["values"]["by_contender"]
    rows = [(f"as trained, days: {days}", of[key]) for days, of in of_days.items()]
    rows += [(f"contender {name}", of[key]) for name, of in of_names.items()]
    rows += [(name, of[key]) for name, of in content["values"]["by_estimator"].items()]
    figure, axes = _axes(8.0, 1.2 + 0.28 * len(rows))
    _intervals(axes, [(name, of[middle], of["low"], of["high"]) for name, of in rows])
    axes.axvline(goal, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel=f"{key}, with its 95 % interval")
    return figure


def _intervals(axes: Axes, rows: Sequence[tuple[Any, ...]]) -> None:
    known = [row for row in rows if None not in row]
    for place, (_, middle, low, high) in enumerate(known):
        axes.plot([low, high], [place, place], color=COLOURS[0], linewidth=2)
        axes.plot([middle], [place], "o", color=COLOURS[0])
    axes.set_yticks(range(len(known)), [name for name, *_ in known])
    axes.invert_yaxis()


def _percent(value: float | None) -> float | None:
    return None if value is None else 100 * value


def _errors(content: dict[str, Any]) -> Figure:
    rows = {name: of["se_10000"] for name, of in content["values"]["by_estimator"].items()}
    rows["runs, as trained"] = content["ope_se_10000"]
    rows["on-policy, both serve"] = content["on_policy_se_10000"]
    known = {name: 100 * value for name, value in rows.items() if value is not None}
    figure, axes = _axes(8.0, 1.2 + 0.28 * len(known))
    axes.barh(list(known), list(known.values()), color=COLOURS[0])
    axes.axvline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.invert_yaxis()
    axes.set(xlabel="standard error of the relative difference at 10,000 slates, %")
    return figure


def _scatter(results: Results) -> Figure:
    figure = Figure(figsize=(11.0, 5.6), layout="constrained")
    grid = figure.subplots(2, (len(results.windows) + 1) // 2, sharex=True, sharey=True)
    for axes, (name, windows) in zip(grid.flat, results.windows.items(), strict=False):
        true = 100 * np.array([w.true for w in windows])
        axes.plot(true, 100 * np.array([w.change for w in windows]), ".", color=COLOURS[0], ms=3)
        ends = [true.min(), true.max()]
        axes.plot(ends, ends, color="black", linewidth=0.8)
        axes.set_ylim(-SHOWN, SHOWN)
        axes.set_title(name, fontsize=9)
        axes.grid(alpha=0.3)
    figure.supxlabel("true change, %")
    figure.supylabel(f"estimate on {values.MAIN} days, % (up to {SHOWN} shown)")
    for axes in grid.flat[len(results.windows) :]:
        axes.set_axis_off()
    return figure


def _swing(swing: dict[str, Any]) -> Figure:
    figure, axes = _axes(8.0, 2.7)
    names = {
        "value": "value",
        "excess": "value, less the true difference",
        "organic_ndcg": "NDCG on organic choices",
        "ndcg_with_clicks": "NDCG on organic choices and clicks",
    }
    rows = [
        (label, *(_percent(swing[name][edge]) for edge in ("mean", "low", "high")))
        for name, label in names.items()
    ]
    _intervals(axes, rows)
    axes.axvspan(-0.5, 0.5, color="black", alpha=0.08)
    axes.set(xlabel="the second looks better by so many %, if the first serves")
    return figure


def _ranks(found: dict[str, Any]) -> Figure:
    figure, axes = _axes(8.0, 2.6)
    rows = [
        (f"{label}, {days}", of[name]["mean"], of[name]["low"], of[name]["high"])
        for days, of in found.items()
        for name, label in (("value", "value"), ("organic_ndcg", "organic NDCG"))
    ]
    _intervals(axes, rows)
    axes.axvline(0.6, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlabel="Spearman's correlation, with the 95 % interval of its mean over windows")
    return figure


def _ranking(results: Results) -> Figure:
    figure, axes = _axes(8.0, 4.5)
    for colour, played in zip(COLOURS, results.rankings, strict=False):
        days = min(fairness.WINDOWS[-1], len(played["found"]))
        for change, _, true in fairness.ranked(played, days):
            label = f"served by {played['server']}"
            axes.plot(100 * true, 100 * change, "o", color=colour, ms=4, label=label)
    axes.set(xlabel="true change of reward, %", ylabel="estimated change of clicks, %")
    figure.legend(loc="outside right upper")
    return figure


def _canaries(found: dict[str, Any]) -> Figure:
    figure, axes = _axes(8.0, 1.8)
    rows = [(name, of["rolled_back"], *of["interval"]) for name, of in found.items()]
    _intervals(axes, rows)
    axes.set(xlabel="share rolled back", xlim=(-0.02, 1.02))
    return figure


def _planted(found: dict[str, Any]) -> Figure:
    figure, axes = _axes(8.0, 1.8)
    axes.barh(["planted", "blocked"], [found["planted"], found["blocked"]], color=COLOURS[0])
    return figure


def _poisoned(content: dict[str, Any]) -> Figure:
    figure, axes = _axes(8.0, 1.6)
    axes.barh(["exposure, times"], [content["poisoning_exposure_ratio"]], color=COLOURS[0])
    axes.axvline(2.0, color="black", linewidth=0.8, linestyle=":")
    return figure
