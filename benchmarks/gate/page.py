"""Write `bench-gate.json`, and `bench-gate.html` with a picture of each figure."""

import base64
import io
import json
from html import escape
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure

from benchmarks.gate.plots import pictures
from benchmarks.gate.results import Results

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>How often the gate is right</title>
<style>body{{font:16px system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}}
img{{max-width:100%}}pre{{background:#f4f4f4;padding:1rem;overflow:auto;font-size:13px}}</style>
</head><body><h1>How often the gate is right</h1>
<p>{runs} runs of twenty looks, worlds with seeds {seeds}, {slates} slates a look.</p>
{pictures}
<h2>All figures</h2><pre>{figures}</pre></body></html>
"""


def write(results: Results, folder: Path) -> None:
    """Write both files into `folder`, replacing earlier ones."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = json.dumps(results.content, indent=2)
    (folder / "bench-gate.json").write_text(figures + "\n")
    page = _PAGE.format(
        runs=results.content["runs"],
        seeds=", ".join(map(str, results.content["seeds"])),
        slates=results.content["slates_per_look"],
        pictures="\n".join(_shown(title, each) for title, each in pictures(results).items()),
        figures=escape(figures),
    )
    (folder / "bench-gate.html").write_text(page)


def _shown(title: str, figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": ""})
    data = base64.b64encode(buffer.getvalue()).decode()
    return f'<h2>{escape(title)}</h2><img alt="{escape(title)}" src="data:image/png;base64,{data}">'
