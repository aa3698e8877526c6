"""How runs of the product's trainer are measured."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.task import WARM
from benchmarks.trained import Watch, needed_flops
from tests.benchmarks.clock import Clock
from tests.training.transformer.synthetic import events
from training.transformer.config import TransformerParams
from training.transformer.data import tokens_from
from training.transformer.model import ModelConfig
from training.transformer.recipe import Recipe
from training.transformer.trainer import Fitted

BATCH = SimpleNamespace(all_targets=range(7))


def steps(watch: Watch, clock: Clock, count: int, seconds: float) -> list[bool]:
    """Run `count` steps of the given seconds. Returns the step after which it was told to stop."""
    trainer: Any = SimpleNamespace(should_stop=False)
    stops = []
    watch.on_train_epoch_start()
    for _ in range(count):
        clock.move(seconds)
        watch.on_train_batch_end(trainer, None, None, BATCH, 0)
        stops.append(trainer.should_stop)
    watch.on_train_epoch_end()
    return stops


def test_neither_first_steps_nor_what_lies_between_epochs_are_on_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    watch = Watch(seconds=9.0)
    assert not any(steps(watch, clock, WARM - 1, 100.0))
    clock.move(1000.0)
    assert not any(steps(watch, clock, 3, 2.0))  # the first of them is the last that is not counted
    clock.move(1000.0)
    assert steps(watch, clock, 3, 2.0) == [False, False, True]
    assert (watch.counted, watch.tokens, watch.elapsed) == (5, 35, 10.0)


def test_a_watch_ends_after_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(seconds=1e9, steps=2)
    assert steps(watch, Clock(monkeypatch), WARM + 2, 1.0) == [*[False] * (WARM + 1), True]


@pytest.mark.parametrize("chosen", [{}, {"negatives": 12}, {"loss": "contrastive"}], ids=str)
def test_operations_count_the_items_that_a_token_is_scored_against(chosen: dict[str, Any]) -> None:
    columns = events(users=50, items=200, length=8)
    log = tokens_from(*columns.values(), repeats=False)
    vocabulary = np.unique(columns["item"])
    params = TransformerParams(max_length=8, batch_tokens=60, **chosen)
    recipe = Recipe.of(params, len(log), len(vocabulary))
    config = ModelConfig(len(vocabulary), 64, 2, 2, 8, 1)
    fitted = Fitted(True, config, {}, torch.from_numpy(vocabulary), [], 0, [], [], recipe)
    blocks = 2 * (4 * 64 * 64 + 2 * 64 * 128 + 128 * 64)
    seen = [place for length in np.bincount(columns["user"]) for place in range(1, length + 1)]
    elsewhere = 6 * blocks + 12 * 2 * 64 * np.mean(seen)
    scored = (needed_flops(fitted, log) - elsewhere) / (6 * 64)
    if not chosen:
        assert scored == pytest.approx(len(vocabulary))
    elif "negatives" in chosen:
        assert 6 < scored < 12.001
    else:
        assert 20 < scored < 60  # targets of one step
