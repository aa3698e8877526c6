from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from base.params import ParamsError, build, load
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
    ("key", "value"),
    [
        ("max_epochs", 0),
        ("dropout", 1.0),
        ("id_dropout", -1.0),
        ("learning_rate", 0.0),
        ("learning_rate", float("inf")),
        ("weight_decay", -1.0),
        ("dropout", float("nan")),
    ],
)
def test_a_value_out_of_range_is_named(key: str, value: float) -> None:
    with pytest.raises(ParamsError, match=f"fit.{key}"):
        build(TransformerParams, "fit", {key: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"negatives": -1}, "at least 0"),
        ({"loss": "bce", "negatives": 0}, "at least 1"),
        ({"loss": "contrastive", "negatives": 8}, "targets of a step"),
        ({"optimiser": "sgd"}, "fit.learning_rate"),
    ],
)
def test_settings_that_do_not_go_together_are_explained(
    values: dict[str, Any], message: str
) -> None:
    with pytest.raises(ParamsError, match=message):
        build(TransformerParams, "fit", values)


def test_a_number_may_be_written_as_people_do() -> None:
    values = yaml.safe_load("{learning_rate: 1e-3, weight_decay: 1}")
    params = build(TransformerParams, "fit", values)
    assert (params.learning_rate, params.weight_decay) == (0.001, 1.0)


def test_run_options_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RONDO_TRAIN_DEVICES", "4")
    monkeypatch.setenv("RONDO_TRAIN_PRECISION", "bf16-mixed")
    options = RunOptions()
    assert (options.devices, options.precision) == (4, "bf16-mixed")


def test_an_event_type_more_leaves_every_other_number_of_a_seed() -> None:
    def weights(event_types: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(7)
        config = ModelConfig(
            vocabulary=5, embedding_size=8, num_layers=1, num_heads=2, max_length=4,
            event_types=event_types,
        )  # fmt: skip
        return dict(Transformer(config).state_dict()) | {"next": torch.rand(3)}

    first, grown = weights(10), weights(12)
    assert grown["event_types.weight"].shape == (12, 8)
    grown["event_types.weight"] = grown["event_types.weight"][:10]
    assert all(torch.equal(grown[name], value) for name, value in first.items())
    assert torch.equal(weights(3)["event_types.weight"].isfinite().all(), torch.tensor(True))
