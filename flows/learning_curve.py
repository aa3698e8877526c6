"""The learning curve of the transformer by epoch, for the page of a verdict."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from base import pages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = Path("data/metrics/fit.json")
COLOUR = "#1b6ca8"


@dataclass(frozen=True)
class Curve:
    """Per epoch: mean −log likelihood of the training targets, and ndcg@10 on the tail."""

    losses: list[float]
    ndcg: list[float]

    @staticmethod
    def read(workspace: Path) -> "Curve":
        """Read the metrics of stage `fit`. Empty if there are none."""
        path = workspace / METRICS
        content = json.loads(path.read_text()) if path.exists() else {}
        return Curve(content.get("epoch_loss", []), content.get("epoch_ndcg@10", []))

    def told(self) -> str:
        """The curves in words."""
        return "; ".join(
            f"{title}: {values[0]:.4g} in epoch 1, {values[-1]:.4g} in epoch {len(values)}"
            for title, values in self._titled().items()
            if values
        )

    def png(self) -> bytes:
        """The picture, or empty bytes if there is nothing to draw."""
        return pages.png(self.figure()) if self.ndcg else b""

    def figure(self) -> "Figure":
        """The two curves side by side."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(8, 2.8), layout="constrained")
        both = figure.subplots(1, 2)
        for axes, (title, values) in zip(both, self._titled().items(), strict=True):
            axes.plot(range(1, len(values) + 1), values, marker="o", markersize=4, color=COLOUR)
            axes.set(xlabel="epoch", title=title)
            axes.locator_params(axis="x", integer=True)
            axes.grid(alpha=0.3)
        return figure

    def _titled(self) -> dict[str, list[float]]:
        return {"loss": self.losses, "ndcg@10 on the tail": self.ndcg}
