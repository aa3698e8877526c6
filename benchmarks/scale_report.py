"""Report the results of `benchmarks.scale` as a table, `bench-scale.json` and `bench-scale.png`."""

import json
from pathlib import Path
from typing import Any, Final

HEAD: Final = (
    f"{'events':>12}{'items':>10}{'with id':>10}{'drawn':>7}{'s a step':>10}{'events/s':>10}"
    f"{'s to first':>12}{'s to rank':>11}{'peak MB':>9}"
)
MEASURED: Final = {
    "events_per_second": "events a second",
    "seconds_to_first_step": "seconds to the first step",
    "peak_mb": "peak memory, MB",
}
SERIES: Final = {"events": "events in the log", "catalogue": "items in the catalogue"}
COLOURS: Final = {"events": "#1b6ca8", "catalogue": "#7a4fb5", "both": "#c9742b"}


def row(point: dict[str, Any]) -> str:
    """One line below HEAD."""
    return (
        f"{point['events']:>12,}{point['catalogue']:>10,}{point['items_with_id']:>10,}"
        f"{point['draws'] or 'all':>7}{point['seconds_per_step']:>10.3f}"
        f"{point['events_per_second']:>10,.0f}{point['seconds_to_first_step']:>12.1f}"
        f"{point['seconds_to_rank_and_save']:>11.1f}{point['peak_mb']:>9,.0f}"
    )


def write(content: dict[str, Any], folder: Path) -> None:
    """Write both files into `folder`, replacing earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench-scale.json").write_text(json.dumps(content, indent=2) + "\n")
    draw(content["points"], folder / "bench-scale.png")


def draw(points: list[dict[str, Any]], path: Path) -> None:
    """Draw each of MEASURED by events and by items, with logarithmic axes."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import StrMethodFormatter

    figure = Figure(figsize=(12, 6.4), layout="constrained")
    grid = figure.subplots(len(SERIES), len(MEASURED))
    lines = {}
    for row_of_axes, (series, label) in zip(grid, SERIES.items(), strict=True):
        for axes, (name, title) in zip(row_of_axes, MEASURED.items(), strict=True):
            axes.set(xlabel=label, ylabel=title)
            axes.grid(alpha=0.3)
            for kind in (series, "both"):
                chosen = [point for point in points if point["series"] == kind]
                if chosen:
                    values = [[point[what] for point in chosen] for what in (series, name)]
                    (lines[kind],) = axes.loglog(
                        *values, "o-", color=COLOURS[kind], label=_told(chosen[0])
                    )
                    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
                    axes.yaxis.set_minor_formatter(StrMethodFormatter("{x:,g}"))
    figure.legend(handles=list(lines.values()), loc="outside upper center", ncols=len(lines))
    figure.savefig(path, dpi=110, metadata={"Software": ""})


def _told(point: dict[str, Any]) -> str:
    """The values that are equal for all points of this point's line."""
    events, items = f"{point['events']:,} events", f"{point['catalogue']:,} items"
    return {"events": items, "catalogue": events, "both": f"{events}, {items}"}[point["series"]]
