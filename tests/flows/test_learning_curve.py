"""The curves on a verdict's page."""

import json
import re
from pathlib import Path

from flows.learning_curve import METRICS, Curve


def write(folder: Path, **content: list[float]) -> Path:
    (folder / METRICS).parent.mkdir(parents=True)
    (folder / METRICS).write_text(json.dumps(content))
    return folder


def test_what_the_stage_wrote_is_drawn_epoch_by_epoch(tmp_path: Path) -> None:
    of = {"epoch_loss": [7.5, 6.0, 5.5], "epoch_ndcg@10": [0.02, 0.05, 0.04]}
    page = Curve.read(write(tmp_path, **of)).html()
    assert "ndcg@10 on the tail: 0.02 in epoch 1, 0.04 in epoch 3" in page
    loss, ndcg = re.findall(r'points="([^"]+)"', page)
    heights = [float(point.split(",")[1]) for point in ndcg.split()]
    assert heights[1] < heights[2] < heights[0]  # SVG counts from the top
    assert len(loss.split()) == 3


def test_one_epoch_or_equal_values_are_drawn_too(tmp_path: Path) -> None:
    page = Curve.read(write(tmp_path, **{"epoch_loss": [1.0], "epoch_ndcg@10": [0.0]})).html()
    assert page.count("<circle") == 2
    assert Curve([1.0, 1.0], [0.0, 0.0]).html().count("<circle") == 4


def test_without_curves_there_is_nothing_to_show(tmp_path: Path) -> None:
    assert Curve.read(tmp_path).html() == ""
    assert Curve.read(write(tmp_path)).html() == ""
