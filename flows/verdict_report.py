"""A verdict for people: a Prefect artifact and a page of HTML."""

import html
from pathlib import Path

from flows.learning_curve import Curve
from training.evidence import Evidence
from training.gate import Check, Verdict

MARKS = {True: "passed", False: "failed", None: "unknown"}
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } td, th { text-align: left; padding: .3rem .6rem }
tr { border-top: 1px solid #ddd } .passed { color: #17702f } .failed { color: #b3261e }
.unknown { color: #8a6d00 } code { font-size: 90% }
"""


def publish(release: str, verdict: Verdict, evidence: Evidence, curve: Curve, folder: Path) -> Path:
    """Show a verdict as an artifact of the running flow and write `verdict-<release>.html`."""
    from prefect.artifacts import create_markdown_artifact

    create_markdown_artifact(
        key=f"verdict-{release[:12]}",
        markdown=markdown(release, verdict, evidence),
        description=f"Verdict on release {release}",
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"verdict-{release[:12]}.html"
    path.write_text(page(release, verdict, evidence) + curve.html())
    return path


def markdown(release: str, verdict: Verdict, evidence: Evidence) -> str:
    """The verdict as Markdown tables."""
    lines = [
        f"# {verdict.decision}: release `{release}`",
        "",
        "| check | | reason |",
        "|---|---|---|",
    ]
    lines += [f"| {c.name} | {MARKS[c.passed]} | {c.reason} |" for c in verdict.checks]
    names = list(next(iter(evidence.metrics.values()), {}))
    lines += ["", "| system | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for system, metrics in evidence.metrics.items():
        lines.append(f"| {system} | " + " | ".join(f"{metrics[n].mean:.4f}" for n in names) + " |")
    return "\n".join(lines) + "\n"


def page(release: str, verdict: Verdict, evidence: Evidence) -> str:
    """The verdict as a page of its own."""
    rows = "".join(_row(check) for check in verdict.checks)
    return (
        f"<!doctype html><meta charset=utf-8><title>Verdict {release[:12]}</title>"
        f"<style>{STYLE}</style><h1>{verdict.decision}</h1><p>Release <code>{release}</code>, "
        f"{evidence.queries} queries of {evidence.users} users.</p>"
        f"<table><tr><th>check<th><th>value<th>threshold<th>reason</tr>{rows}</table>"
        f"{metrics_table(evidence)}"
    )


def metrics_table(evidence: Evidence) -> str:
    """Metrics by system as an HTML table."""
    names = list(next(iter(evidence.metrics.values()), {}))
    head = "".join(f"<th>{html.escape(name)}" for name in names)
    rows = "".join(
        f"<tr><td>{html.escape(system)}" + "".join(f"<td>{metrics[n].mean:.4f}" for n in names)
        for system, metrics in evidence.metrics.items()
    )
    return f"<h2>On the judge window</h2><table><tr><th>system{head}</tr>{rows}</table>"


def _row(check: Check) -> str:
    mark = MARKS[check.passed]
    return (
        f"<tr><td>{html.escape(check.name)}<td class={mark}>{mark}<td>{_number(check.value)}"
        f"<td>{_number(check.threshold)}<td>{html.escape(check.reason)}</tr>"
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"
