"""Which runs share a checkpoint."""

import dataclasses
from pathlib import Path

from training.transformer.checkpoints import folder
from training.transformer.config import RunOptions, TransformerParams


def test_only_the_same_data_settings_and_format_do(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.write_text("1 2\n")
    params = TransformerParams()
    options = RunOptions(precision="32-true")
    first = folder(tmp_path, [data], params, options)
    others = [
        folder(tmp_path, [data], dataclasses.replace(params, dropout=0.5), options),
        folder(tmp_path, [data], params, RunOptions(precision="bf16-mixed")),
        folder(tmp_path, [data], params, RunOptions(precision="32-true", strategy="fsdp")),
    ]
    data.write_text("1 3\n")
    others.append(folder(tmp_path, [data], params, options))
    assert len({first, *others}) == 5


def test_other_devices_go_on_where_the_first_ones_stopped(tmp_path: Path) -> None:
    params = TransformerParams()
    one, two = RunOptions(), RunOptions(devices=2, strategy="ddp", num_nodes=2, threads=1)
    assert folder(tmp_path, [], params, one) == folder(tmp_path, [], params, two)
