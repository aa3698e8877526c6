"""Report a search: `tune.json`, and `tune.html` with a picture of the learning curves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from base import pages
from training.tuning.study import TrialRecord

BEST, PRESENT, OTHER = "#1b6ca8", "#c9742b", "#bbbbbb"
TOP = 5
"""Trials in the printed table."""


@dataclass(frozen=True)
class Summary:
    """The current state of a search.

    best, present: numbers of trials; diff: change of `params.yaml`; written: whether it has been
    applied.
    """

    section: str
    study: str
    sampler: str
    trials: list[TrialRecord]
    best: int | None
    present: int | None
    diff: str
    written: bool

    def ranked(self) -> list[TrialRecord]:
        """The trials, best first, failed ones last."""
        return sorted(self.trials, key=lambda r: (r.value is None, -(r.value or 0.0), r.number))


def write(summary: Summary, folder: Path) -> Path:
    """Write both files into `folder` and return the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(asdict(summary), indent=2, allow_nan=False)
    (folder / "tune.json").write_text(content + "\n")
    curves = {record.number: record.curve for record in summary.trials if record.curve}
    drawn = picture(curves, summary.best, summary.present) if curves else b""
    page = folder / "tune.html"
    page.write_text(pages.render("training.tuning", "tune.html", summary=summary, picture=drawn))
    return page


def table(summary: Summary) -> str:
    """The best trials and the trial of the present values, as text."""
    ranked = summary.ranked()
    shown = [r for place, r in enumerate(ranked) if place < TOP or r.number == summary.present]
    rows = [["trial", "ndcg@10", "seconds", "values"]]
    for record in shown:
        value = "failed" if record.value is None else f"{record.value:.4f}"
        note = " (present)" if record.number == summary.present else ""
        rows.append(
            [str(record.number), value, f"{record.seconds:.1f}", plain(record.values) + note]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(row[:3], widths, strict=False))
        + f"  {row[3]}"
        for row in rows
    )


def conclusion(summary: Summary) -> str:
    """What was done with `params.yaml`, with the difference."""
    if not summary.diff:
        return "no trial was better than the present values: params.yaml stays as it is"
    done = "written to params.yaml:" if summary.written else "not written to params.yaml:"
    return f"{done}\n{summary.diff}"


def plain(values: Mapping[str, Any]) -> str:
    """The values in one line."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def picture(curves: Mapping[int, Sequence[float]], best: int | None, present: int | None) -> bytes:
    """PNG of the learning curves, ndcg@10 by epoch, one per trial."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, curve in curves.items():
        epochs = range(1, len(curve) + 1)
        if number == best:
            style: dict[str, Any] = {"color": BEST, "linewidth": 2.5, "zorder": 4}
            style["label"] = f"best, trial {number}"
        elif number == present:
            style = {"color": PRESENT, "linewidth": 2, "zorder": 3}
            style["label"] = f"present, trial {number}"
        else:
            style = {"color": OTHER, "linewidth": 1}
        axes.plot(epochs, curve, marker="o", markersize=3, **style)
    axes.set(xlabel="epoch", ylabel="ndcg@10 on the tail of the fit window")
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)
    if {best, present} & set(curves):
        figure.legend(loc="outside upper center", ncols=2)
    return pages.png(figure)
