"""Show a verdict to people: as a Prefect artifact and as an HTML page."""

from pathlib import Path

from base import pages
from flows.learning_curve import Curve
from training.check import Check, plain
from training.evidence import Evidence
from training.gate import Verdict

MARKS = {True: "passed", False: "failed", None: "unknown"}


def mark(check: Check) -> str:
    """The result of a check in words."""
    return "not judged" if check.abstains else MARKS[check.passed]


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
    path.write_text(page(release, verdict, evidence, curve))
    return path


def markdown(release: str, verdict: Verdict, evidence: Evidence) -> str:
    """The verdict as Markdown tables."""
    lines = [
        f"# {verdict.decision}: release `{release}`",
        "",
        "| check | | reason |",
        "|---|---|---|",
    ]
    lines += [f"| {c.name} | {mark(c)} | {c.reason} |" for c in verdict.checks]
    names = list(next(iter(evidence.metrics.values()), {}))
    lines += ["", "| system | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for system, metrics in evidence.metrics.items():
        lines.append(f"| {system} | " + " | ".join(f"{metrics[n].mean:.4f}" for n in names) + " |")
    if evidence.set_aside is not None:
        lines += ["", f"Set aside: {evidence.set_aside.told()}.", ""]
        lines += [f"- {users} × {what}" for what, users in evidence.set_aside.reasons.items()]
    return "\n".join(lines) + "\n"


def page(release: str, verdict: Verdict, evidence: Evidence, curve: Curve) -> str:
    """The verdict as an HTML page."""
    return pages.render(
        "flows",
        "verdict.html",
        release=release,
        verdict=verdict,
        evidence=evidence,
        mark=mark,
        number=_number,
        told=curve.told(),
        curve=curve.png(),
    )


def _number(value: float | None) -> str:
    return "" if value is None else plain(value)
