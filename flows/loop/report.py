"""The report of a run: `loop.json`, `loop.html` and its figures."""

import base64
import html
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from training.bootstrap import Interval

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } tr { border-top: 1px solid #ddd; vertical-align: top }
td, th { text-align: right; padding: .25rem .6rem; font-variant-numeric: tabular-nums }
th { vertical-align: bottom } .text td, .text th, td.text, th.text { text-align: left }
td.part { padding-left: 2rem; color: #555 } td.interval { white-space: nowrap; font-size: 13px }
img { max-width: 100% } .promote { color: #17702f } .hold { color: #8a6d00 }
.reject { color: #b3261e }
"""
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


def write(content: dict[str, Any], folder: Path) -> Path:
    """Write all files into `folder`; returns the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "loop.json").write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    days = content["days"]
    figures = [
        figure
        for name in METRICS
        if days and name in days[0]
        for figure in draw(days, name, content["confidence"], folder)
    ]
    page = folder / "loop.html"
    page.write_text(_page(content, figures))
    return page


def number(value: Mapping[str, float | None] | float | None) -> str:
    """A number, or an interval as `Interval.plain` gives it; empty where unknown."""
    if isinstance(value, Mapping):
        interval = Interval.of(value)
        return str(interval) if interval.known else ""
    return "" if value is None else f"{value:.4f}"


def draw(days: list[dict[str, Any]], metric: str, confidence: float, folder: Path) -> list[Path]:
    """`<metric>.png`, systems by day, and `<metric>-differences.png`, paired with intervals."""
    from matplotlib.figure import Figure

    x = [day["day"] for day in days]
    systems = [name for name in COLOURS if name in days[0][metric]]
    label = "wave" if metric != "reward" else "day"
    name = metric.replace("@", "-at-")
    levels = Figure(figsize=(8, 4.2), layout="constrained")
    axes = levels.subplots()
    for system in systems:
        values = [_known(day[metric][system]) for day in days]
        axes.plot(x, values, marker="o", color=COLOURS[system], label=system)
    axes.set(xlabel=label, ylabel="true reward of a slate" if metric == "reward" else metric)
    axes.set_xticks(x)
    axes.grid(alpha=0.3)
    levels.legend(loc="outside upper center", ncols=len(systems))
    paired = Figure(figsize=(8, 3.6), layout="constrained")
    axes = paired.subplots()
    for shift, other in enumerate(s for s in systems if f"served_minus_{s}" in days[0][metric]):
        rows = [Interval.of(day[metric][f"served_minus_{other}"]) for day in days]
        middle = [row.mean for row in rows]
        spread = [[row.mean - row.low for row in rows], [row.high - row.mean for row in rows]]
        places = [value + 0.08 * shift for value in x]
        axes.errorbar(
            places, middle, yerr=spread, fmt="o", capsize=3, color=COLOURS[other],
            label=f"served − {other}",
        )  # fmt: skip
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.set(xlabel=label, ylabel=f"paired difference, {metric}, {confidence:.0%}")
    axes.set_xticks(x)
    axes.grid(alpha=0.3)
    paired.legend(loc="outside upper center", ncols=len(systems))
    paths = [folder / f"{name}.png", folder / f"{name}-differences.png"]
    for figure, path in zip((levels, paired), paths, strict=True):
        figure.savefig(path, dpi=110, metadata={"Software": ""})
    return paths


def _page(content: dict[str, Any], figures: list[Path]) -> str:
    images = "".join(
        f'<p><img alt="{path.stem}" src="data:image/png;base64,'
        f'{base64.b64encode(path.read_bytes()).decode()}"></p>'
        for path in figures
    )
    simulated = "control world" if content["control"] else "world"
    what = "real data" if content["pooled"] else simulated
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Rondo: the loop</title>"
        f"<style>{STYLE}</style><h1>The loop, {what}, seed {content['seed']}</h1>"
        f"<p>{content['wall_seconds']:.0f} s, peak memory {content['peak_rss_mb']:.0f} MB, "
        f"{len(content['releases'])} retrains. Intervals are two-sided at "
        f"{content['confidence']:.0%}, on paired differences, users resampled.</p>{images}"
        + "".join(_days(content["days"], name, content["pooled"].get(name)) for name in TITLES)
        + _releases(content["releases"])
        + _steps(content["steps"])
        + "</html>\n"
    )


def _days(days: list[dict[str, Any]], metric: str, pooled: dict[str, Any] | None) -> str:
    """A table of `metric` by day, with all days together where there is `pooled`."""
    if not days or metric not in days[0]:
        return ""
    names = list(days[0][metric])
    label = "day" if pooled is None else "wave"
    head = "".join(
        f"<th>{html.escape(n.replace('_', ' '))}" for n in (label, "sessions", "CTR", *names)
    )
    rows = [
        (str(day["day"]), str(day["sessions"]), number(day["ctr"]), day[metric]) for day in days
    ]
    if pooled is not None:
        rows.append(("all", "", "", pooled))
    cells = "".join(
        "<tr>"
        + "".join(f"<td>{text}" for text in first)
        + "".join(f"<td class=interval>{number(values[name])}" for name in names)
        for *first, values in rows
    )
    return f"<h2>{TITLES[metric]}</h2><table><tr>{head}{cells}</table>"


def _releases(releases: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td><code>{r['release'][:12]}</code><td class={r['verdict']}>{r['verdict']}"
        f"<td>{'<br>'.join(html.escape(reason) for reason in r['reasons'])}"
        for r in releases
    )
    return f"<h2>Releases</h2><table class=text><tr><th>release<th>verdict<th>reasons{rows}</table>"


def _steps(steps: dict[str, float]) -> str:
    """`a.b` is a part of step `a`, whose seconds hold it already."""
    rows = "".join(
        f"<tr><td class='text {'part' if '.' in name else ''}'>"
        f"{html.escape(name.rpartition('.')[2])}<td>{seconds:.1f}"
        for name, seconds in steps.items()
    )
    return (
        "<h2>Seconds by step</h2><p>Indented: parts of the step above, which holds them already."
        f"</p><table><tr><th class=text>step<th>seconds{rows}</table>"
    )


def _known(value: float | None) -> float:
    return math.nan if value is None else value
