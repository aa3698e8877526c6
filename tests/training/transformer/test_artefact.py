"""Models on disk, including those of other versions."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from base.errors import InputError
from features.ragged import Histories
from features.schema import EVENT_CODES
from training.transformer import artefact
from training.transformer.model import ModelConfig, Transformer
from training.transformer.scorer import encode

ITEMS = 12


def saved(folder: Path, event_types: int) -> Transformer:
    torch.manual_seed(0)
    config = ModelConfig(ITEMS, 16, 1, 2, 8, 4, event_types=event_types)
    model = Transformer(config).eval().requires_grad_(False)
    ids = np.array([f"i{n}" for n in range(ITEMS)], dtype=object)
    vocabulary = torch.arange(ITEMS, dtype=torch.int32)
    artefact.save(folder, config, model.state_dict(), vocabulary, ids)
    return model


def states(model: Transformer, code: int) -> torch.Tensor:
    """Of one user with three events of a kind, as served."""
    table = model.table(torch.ones(ITEMS, 4), torch.arange(ITEMS))
    history = Histories(
        np.array([0, 3]),
        np.array([1, 5, 2], dtype=np.int32),
        np.full(3, code, dtype=np.int8),
        np.array([10**12, 2 * 10**12, 3 * 10**12]),
    )
    return encode(model, table, history, np.array([4 * 10**12]))


@pytest.mark.parametrize("written", [True, False], ids=["written", "as in the first releases"])
def test_a_model_keeps_the_number_of_event_types_it_was_trained_with(
    tmp_path: Path, written: bool
) -> None:
    made = saved(tmp_path, event_types=7)
    config = tmp_path / artefact.CONFIG
    content = json.loads(config.read_text())
    assert content["event_types"] == 7
    if not written:
        del content["event_types"]
        config.write_text(json.dumps(content))
    model, *_ = artefact.load(tmp_path)
    assert model.config.event_types == 7
    click = EVENT_CODES["click"]
    assert torch.equal(states(model, click), states(made, click))


def test_an_event_of_a_kind_that_came_later_counts_as_a_view(tmp_path: Path) -> None:
    model = saved(tmp_path, event_types=7)
    view = states(model, EVENT_CODES["view"])
    assert torch.equal(states(model, 7), view)
    assert torch.equal(states(model, 100), view)
    assert not torch.equal(states(model, 6), view)


def test_settings_of_a_later_version_are_one_line(tmp_path: Path) -> None:
    saved(tmp_path, event_types=7)
    config = tmp_path / artefact.CONFIG
    config.write_text(json.dumps(json.loads(config.read_text()) | {"mixture": 8}))
    with pytest.raises(InputError, match=r"of another version of Rondo: .*'mixture'"):
        artefact.load(tmp_path)
