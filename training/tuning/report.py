"""The report of a search: `tune.json`, `tune.html` and its picture of the learning curves."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from training.tuning.study import Record

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } tr { border-top: 1px solid #ddd; vertical-align: top }
td, th { text-align: right; padding: .25rem .6rem; font-variant-numeric: tabular-nums }
th { vertical-align: bottom } .text { text-align: left } img { max-width: 100% }
pre { background: #f6f6f6; padding: .6rem 1rem; overflow-x: auto }
.best { background: #e8f1f8; font-weight: 600 } .present { background: #fbf0e6 }
.failed { color: #b3261e }
"""
BEST, PRESENT, OTHER = "#1b6ca8", "#c9742b", "#bbbbbb"
TOP = 5
"""Trials in the table that is printed."""


@dataclass(frozen=True)
class Summary:
    """A search as it stands. best, present: numbers of trials; diff: of `params.yaml`; written:
    whether it has been applied."""

    section: str
    study: str
    sampler: str
    trials: list[Record]
    best: int | None
    present: int | None
    diff: str
    written: bool

    def ranked(self) -> list[Record]:
        """Best first, failed ones last."""
        return sorted(self.trials, key=lambda r: (r.value is None, -(r.value or 0.0), r.number))


def write(summary: Summary, folder: Path) -> Path:
    """Write both files into `folder`; returns the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps(asdict(summary), indent=2, allow_nan=False)
    (folder / "tune.json").write_text(content + "\n")
    page = folder / "tune.html"
    page.write_text(_page(summary))
    return page


def table(summary: Summary) -> str:
    """The best trials as text, and the present values' trial."""
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
    """What became of `params.yaml`, with the difference."""
    if not summary.diff:
        return "no trial was better than the present values: params.yaml stays as it is"
    done = "written to params.yaml:" if summary.written else "not written to params.yaml:"
    return f"{done}\n{summary.diff}"


def plain(values: Mapping[str, Any]) -> str:
    """Values in one line."""
    return ", ".join(f"{name} {value}" for name, value in values.items())


def picture(curves: Mapping[int, Sequence[float]], best: int | None, present: int | None) -> bytes:
    """PNG of learning curves, ndcg@10 by epoch, one for each trial."""
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
    written = io.BytesIO()
    figure.savefig(written, dpi=110, metadata={"Software": ""})
    return written.getvalue()


def _page(summary: Summary) -> str:
    failed = sum(record.value is None for record in summary.trials)
    curves = {record.number: record.curve for record in summary.trials if record.curve}
    image = ""
    if curves:
        encoded = base64.b64encode(picture(curves, summary.best, summary.present)).decode()
        image = (
            "<h2>Learning curves</h2><p>ndcg@10 on the tail after each epoch.</p>"
            f'<p><img alt="learning curves" src="data:image/png;base64,{encoded}"></p>'
        )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Rondo: the search</title>"
        f"<style>{STYLE}</style><h1>Search over '{summary.section}'</h1>"
        f"<p>{len(summary.trials)} trials, {failed} failed; sampler {summary.sampler}, study "
        f"<code>{summary.study}</code>. The value is ndcg@10 on validation moments of the "
        "section's own window. The highest of many is flattered by its luck: the gate judges a "
        f"release on events that no trial has seen.</p>{_difference(summary)}{image}"
        f"<h2>Trials</h2>{_table(summary)}</html>\n"
    )


def _difference(summary: Summary) -> str:
    if not summary.diff:
        return "<p>No trial was better than the present values: they stay.</p>"
    done = "Written to" if summary.written else "Not written to"
    return f"<h2>{done} params.yaml</h2><pre>{html.escape(summary.diff)}</pre>"


def _table(summary: Summary) -> str:
    names = list(summary.trials[0].values) if summary.trials else []
    head = "".join(f"<th>{html.escape(name)}" for name in ("trial", "ndcg@10", *names))
    rows = []
    for record in summary.ranked():
        kinds = {summary.present: "present", summary.best: "best"}
        cells = "".join(f"<td>{html.escape(str(record.values[name]))}" for name in names)
        best_epoch = record.curve.index(max(record.curve)) + 1 if record.curve else ""
        result = (
            f"<td class='text failed'>{html.escape(record.error)}"
            if record.value is None
            else "<td class=text>" + kinds.get(record.number, "")
        )
        value = "" if record.value is None else f"{record.value:.4f}"
        rows.append(
            f"<tr class='{kinds.get(record.number, '')}'><td>{record.number}<td>{value}{cells}"
            f"<td>{best_epoch}<td>{record.seconds:.1f}{result}"
        )
    return f"<table><tr>{head}<th>best epoch<th>seconds<th class=text>{''.join(rows)}</table>"
