"""The report of a run: `loop.json`, `loop.html` and its figures."""

import base64
import html
import json
from pathlib import Path
from typing import Any

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { text-align: right; padding: .25rem .7rem }
td:first-child, th:first-child { text-align: left } tr { border-top: 1px solid #ddd }
img { max-width: 100% } .promote { color: #17702f } .hold { color: #8a6d00 }
.reject { color: #b3261e } td.reason { text-align: left }
"""
COLOURS = {
    "served": "#1b6ca8",
    "transformer": "#7a4fb5",
    "frozen": "#c9742b",
    "popularity": "#777777",
    "oracle": "#2a8f4f",
}
METRICS = ("reward", "ndcg@10", "recall@10")


def write(content: dict[str, Any], folder: Path) -> Path:
    """Write all files into `folder`; returns the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "loop.json").write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")
    metrics = [name for name in METRICS if content["days"] and name in content["days"][0]]
    figures = [figure for name in metrics for figure in draw(content["days"], name, folder)]
    page = folder / "loop.html"
    page.write_text(_page(content, metrics, figures))
    return page


def draw(days: list[dict[str, Any]], metric: str, folder: Path) -> list[Path]:
    """`<metric>.png`, systems by day, and `<metric>-differences.png`, paired with intervals."""
    from matplotlib.figure import Figure

    x = [day["day"] for day in days]
    systems = [name for name in COLOURS if name in days[0][metric]]
    label = "wave" if metric != "reward" else "day"
    name = metric.replace("@", "-at-")
    levels = Figure(figsize=(8, 4.2), layout="constrained")
    axes = levels.subplots()
    for system in systems:
        values = [day[metric][system] for day in days]
        axes.plot(x, values, marker="o", color=COLOURS[system], label=system)
    axes.set(xlabel=label, ylabel="true reward of a slate" if metric == "reward" else metric)
    axes.set_xticks(x)
    axes.grid(alpha=0.3)
    axes.legend()
    paired = Figure(figsize=(8, 3.6), layout="constrained")
    axes = paired.subplots()
    for shift, other in enumerate(s for s in systems if f"served_minus_{s}" in days[0][metric]):
        rows = [day[metric][f"served_minus_{other}"] for day in days]
        middle = [row["mean"] for row in rows]
        spread = [
            [row["mean"] - row["low"] for row in rows],
            [row["high"] - row["mean"] for row in rows],
        ]
        places = [value + 0.08 * shift for value in x]
        axes.errorbar(
            places, middle, yerr=spread, fmt="o", capsize=3, color=COLOURS[other],
            label=f"served − {other}",
        )  # fmt: skip
    axes.axhline(0.0, color="black", linewidth=0.8)
    axes.set(xlabel=label, ylabel=f"paired difference, {metric}")
    axes.set_xticks(x)
    axes.grid(alpha=0.3)
    axes.legend()
    paths = [folder / f"{name}.png", folder / f"{name}-differences.png"]
    for figure, path in zip((levels, paired), paths, strict=True):
        figure.savefig(path, dpi=110, metadata={"Software": ""})
    return paths


def _page(content: dict[str, Any], metrics: list[str], figures: list[Path]) -> str:
    images = "".join(
        f'<p><img alt="{path.stem}" src="data:image/png;base64,'
        f'{base64.b64encode(path.read_bytes()).decode()}"></p>'
        for path in figures
    )
    simulated = "control world" if content["control"] else "world"
    what = "real data" if "pooled" in content else simulated
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Rondo: the loop</title>"
        f"<style>{STYLE}</style><h1>The loop, {what}, seed {content['seed']}</h1>"
        f"<p>{content['wall_seconds']:.0f} s, peak memory {content['peak_rss_mb']:.0f} MB, "
        f"{len(content['releases'])} retrains.</p>{images}"
        + "".join(_days(content["days"], metric) for metric in metrics)
        + _releases(content["releases"])
        + _steps(content["steps"])
        + "</html>\n"
    )


def _days(days: list[dict[str, Any]], metric: str) -> str:
    names = list(days[0][metric])
    head = "".join(
        f"<th>{html.escape(n.replace('_', ' '))}" for n in ["day", "sessions", "CTR", *names]
    )
    rows = "".join(
        f"<tr><td>{day['day']}<td>{day.get('sessions', '')}<td>{_number(day.get('ctr'))}"
        + "".join(f"<td>{_number(day[metric][name])}" for name in names)
        for day in days
    )
    return f"<h2>{html.escape(metric)} by day</h2><table><tr>{head}</tr>{rows}</table>"


def _releases(releases: list[dict[str, Any]]) -> str:
    rows = "".join(
        f"<tr><td><code>{r['release'][:12]}</code><td class={r['verdict']}>{r['verdict']}"
        f"<td class=reason>{'<br>'.join(html.escape(reason) for reason in r['reasons'])}"
        for r in releases
    )
    return f"<h2>Releases</h2><table><tr><th>release<th>verdict<th>reasons</tr>{rows}</table>"


def _steps(steps: dict[str, float]) -> str:
    rows = "".join(f"<tr><td>{html.escape(k)}<td>{v:.1f}" for k, v in steps.items())
    return f"<h2>Seconds by step</h2><table>{rows}</table>"


def _number(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['mean']:+.4f} [{value['low']:+.4f}, {value['high']:+.4f}]"
    return "" if value is None else f"{value:.4f}"
