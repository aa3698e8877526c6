"""Write the report of a run: `loop.json`, `loop.html` and its pictures."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base import pages
from training.bootstrap import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {
    "served": "#1b6ca8",
    "transformer": "#7a4fb5",
    "frozen": "#c9742b",
    "popularity": "#777777",
    "oracle": "#2a8f4f",
}
METRICS = ("reward", "ndcg@10", "recall@10")
TITLES = {
    "reward": "True reward of a slate, drawn by the exploring policy",
    "greedy": "True reward of the greedy list, without exploration",
    "ndcg@10": "NDCG@10 on the next wave",
    "recall@10": "Recall@10 on the next wave",
}
Days = list[dict[str, Any]]
#: A function that draws one metric of some systems by day.
Fill = Callable[["Axes", Days, str, list[str]], None]


def write(content: dict[str, Any], folder: Path) -> Path:
    """Write all files into `folder` and return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "loop.json").write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    days = content["days"]
    pictures: dict[str, bytes] = {}
    for metric in METRICS:
        if days and metric in days[0]:
            pictures |= draw(days, metric, content["confidence"])
    for name, png in pictures.items():
        (folder / f"{name}.png").write_bytes(png)
    page = folder / "loop.html"
    page.write_text(
        pages.render(
            "flows.loop",
            "loop.html",
            content=content,
            pictures=pictures,
            titles=TITLES,
            number=number,
        )
    )
    return page


def number(value: Mapping[str, float | None] | float | None) -> str:
    """A number, or an interval from `Interval.plain`, as text. Empty if unknown."""
    if isinstance(value, Mapping):
        interval = Interval.of(value)
        return str(interval) if interval.known else ""
    return "" if value is None else f"{value:.4f}"


def draw(days: Days, metric: str, confidence: float) -> dict[str, bytes]:
    """PNG pictures by name: `<metric>`, systems by day; `<metric>-differences`, with intervals."""
    told = "true reward of a slate" if metric == "reward" else metric
    name = metric.replace("@", "-at-")
    between = f"difference in {told}\n({confidence:.0%} interval)"
    drawn = {
        name: (_levels, 4.2, told),
        f"{name}-differences": (_differences, 3.6, between),
    }
    return {name: pages.png(_figure(days, metric, *how)) for name, how in drawn.items()}


def _figure(days: Days, metric: str, fill: Fill, height: float, label: str) -> "Figure":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    systems = [name for name in COLOURS if name in days[0][metric]]
    fill(axes, days, metric, systems)
    axes.set(xlabel="day" if metric == "reward" else "wave", ylabel=label)
    axes.set_xticks([day["day"] for day in days])
    axes.grid(alpha=0.3)
    figure.legend(loc="outside upper center", ncols=len(systems))
    return figure


def _levels(axes: "Axes", days: Days, metric: str, systems: list[str]) -> None:
    x = [day["day"] for day in days]
    for system in systems:
        values = [_known(day[metric][system]) for day in days]
        axes.plot(x, values, marker="o", color=COLOURS[system], label=system)


def _differences(axes: "Axes", days: Days, metric: str, systems: list[str]) -> None:
    compared = [name for name in systems if f"served_minus_{name}" in days[0][metric]]
    for shift, other in enumerate(compared):
        rows = [Interval.of(day[metric][f"served_minus_{other}"]) for day in days]
        axes.errorbar(
            [day["day"] + 0.08 * shift for day in days],
            [row.mean for row in rows],
            yerr=[[row.mean - row.low for row in rows], [row.high - row.mean for row in rows]],
            fmt="o",
            capsize=3,
            color=COLOURS[other],
            label=f"served − {other}",
        )
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.set_xlim(days[0]["day"] - 0.5, days[-1]["day"] + 0.5)


def _known(value: float | None) -> float:
    return math.nan if value is None else value
