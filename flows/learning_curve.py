"""How the transformer's training went, epoch by epoch, for the page of a verdict."""

import json
from dataclasses import dataclass
from pathlib import Path

METRICS = Path("data/metrics/fit.json")
WIDTH, HEIGHT, MARGIN = 280, 120, 28


@dataclass(frozen=True)
class Curve:
    """Per epoch: mean −log likelihood of the training targets, and ndcg@10 on the tail."""

    losses: list[float]
    ndcg: list[float]

    @staticmethod
    def read(workspace: Path) -> "Curve":
        """What stage `fit` wrote; empty where there is nothing."""
        path = workspace / METRICS
        content = json.loads(path.read_text()) if path.exists() else {}
        return Curve(content.get("epoch_loss", []), content.get("epoch_ndcg@10", []))

    def html(self) -> str:
        """Two small pictures side by side, or nothing."""
        if not self.ndcg:
            return ""
        pictures = picture("loss", self.losses) + picture("ndcg@10 on the tail", self.ndcg)
        return f"<h2>Learning curves</h2><p>{pictures}</p>"


def picture(title: str, values: list[float]) -> str:
    """One curve as SVG, from its lowest to its highest value, epochs from 1."""
    low, high = min(values), max(values)
    step = (WIDTH - 2 * MARGIN) / max(1, len(values) - 1)
    scale = (HEIGHT - 2 * MARGIN) / ((high - low) or 1.0)
    points = [
        (MARGIN + i * step, HEIGHT - MARGIN - (v - low) * scale) for i, v in enumerate(values)
    ]
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in points)
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    told = f"{title}: {values[0]:.4g} in epoch 1, {values[-1]:.4g} in epoch {len(values)}"
    return (
        f'<svg role=img aria-label="{told}" viewBox="0 0 {WIDTH} {HEIGHT}" width={WIDTH} '
        f'height={HEIGHT} font-size=11 fill="#1f5f8b"><title>{told}</title>'
        f'<polyline points="{line}" fill="none" stroke="#1f5f8b" stroke-width=1.5 />{dots}'
        f'<text x="{MARGIN}" y="14" fill="currentColor">{title}</text>'
        f'<text x="{MARGIN}" y="{HEIGHT - 8}" fill="currentColor">epoch 1</text>'
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 8}" text-anchor=end fill="currentColor">'
        f"{len(values)}</text>"
        f'<text x="{WIDTH - MARGIN}" y="14" text-anchor=end fill="currentColor">'
        f"{low:.4g} – {high:.4g}</text></svg>"
    )
