"""The curves on a verdict's page."""

import json
from pathlib import Path

import pytest

from flows.learning_curve import METRICS, Curve


def write(folder: Path, **content: list[float]) -> Path:
    (folder / METRICS).parent.mkdir(parents=True)
    (folder / METRICS).write_text(json.dumps(content))
    return folder


def test_what_the_stage_wrote_is_drawn_epoch_by_epoch(tmp_path: Path) -> None:
    of = {"epoch_loss": [7.5, 6.0, 5.5], "epoch_ndcg@10": [0.02, 0.05, 0.04]}
    curve = Curve.read(write(tmp_path, **of))
    assert "ndcg@10 on the tail: 0.02 in epoch 1, 0.04 in epoch 3" in curve.told()
    for axes, values in zip(curve.figure().axes, of.values(), strict=True):
        [line] = axes.lines
        assert line.get_xydata().tolist() == [[n + 1, value] for n, value in enumerate(values)]
    assert curve.png().startswith(b"\x89PNG")


@pytest.mark.parametrize("curve", [Curve([1.0], [0.0]), Curve([1.0, 1.0], [0.0, 0.0])])
def test_one_epoch_or_equal_values_are_drawn_too(curve: Curve) -> None:
    assert curve.png().startswith(b"\x89PNG")


@pytest.mark.parametrize("content", [None, {}])
def test_without_curves_there_is_nothing_to_show(
    tmp_path: Path, content: dict[str, list[float]] | None
) -> None:
    curve = Curve.read(tmp_path if content is None else write(tmp_path))
    assert (curve.png(), curve.told()) == (b"", "")
