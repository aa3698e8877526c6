from pathlib import Path

import pytest
import torch

from features.params import build, load
from training.transformer.config import SHAPES, RunOptions, Size, TransformerParams
from training.transformer.model import ModelConfig, Transformer


@pytest.mark.parametrize("size", SHAPES)
def test_every_size_builds_a_model_larger_than_the_one_before(size: Size) -> None:
    counts = []
    for shape in list(SHAPES.values())[: list(SHAPES).index(size) + 1]:
        config = ModelConfig(
            1000, shape.embedding_size, shape.num_layers, shape.num_heads, max_length=64
        )
        with torch.device("meta"):
            counts.append(sum(p.numel() for p in Transformer(config).parameters()))
    assert counts == sorted(set(counts))
    assert shape.embedding_size % shape.num_heads == 0


def test_the_largest_size_has_hundreds_of_millions_of_parameters() -> None:
    shape = SHAPES["xl"]
    config = ModelConfig(1000, shape.embedding_size, shape.num_layers, shape.num_heads, 64)
    with torch.device("meta"):
        assert sum(p.numel() for p in Transformer(config).parameters()) > 2e8


def test_the_shipped_section_builds_its_dataclass(checkout: Path) -> None:
    assert load(TransformerParams, "fit", checkout / "params.yaml").size == "tiny"


@pytest.mark.parametrize(
    ("key", "value"), [("max_epochs", 0), ("dropout", 1.0), ("id_dropout", -1.0)]
)
def test_a_value_out_of_range_is_named(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"fit.{key}"):
        build(TransformerParams, "fit", {key: value})


def test_run_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONDO_TRAIN_DEVICES", "4")
    monkeypatch.setenv("RONDO_TRAIN_PRECISION", "bf16-mixed")
    options = RunOptions()
    assert (options.devices, options.precision) == (4, "bf16-mixed")


@pytest.mark.parametrize(
    ("events", "tokens"), [(1, 512), (225_000, 2048), (987_000, 8192), (10**9, 8192)]
)
def test_a_step_s_length_follows_from_the_log_s(events: int, tokens: int) -> None:
    assert TransformerParams().step_tokens(events) == tokens
    assert TransformerParams(batch_tokens=1000).step_tokens(events) == 1000
