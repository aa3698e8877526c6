"""Shared by benchmarks of the product's own training: a clock, and the work that was done."""

import time
from typing import Any

import lightning
import numpy as np
import torch

from benchmarks.flops import flops_per_token, linear_weights
from benchmarks.task import WARM
from training.transformer.data import Tokens
from training.transformer.model import Transformer
from training.transformer.packing import Batch, Epoch, cut_windows
from training.transformer.sampling import sampler_of
from training.transformer.trainer import Fitted


class Watch(lightning.Callback):
    """Times steps after the first WARM, and ends the training after `steps` more steps or
    `seconds`.

    Time between two epochs does not count, as in `Fitted.seconds`. Waits for the device only when
    the clock starts and stops, so that steps overlap as usual. counted: steps on the clock,
    negative before it starts; tokens: real events learned from in these steps; elapsed: seconds.
    """

    def __init__(self, seconds: float, steps: float = float("inf")) -> None:
        self.seconds = seconds
        self.steps = steps
        self.counted = -WARM
        self.tokens = 0
        self.elapsed = 0.0
        self.began = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        self.began = _now()

    def on_train_batch_end(self, trainer: lightning.Trainer, *told: Any) -> None:
        batch: Batch = told[2]
        self.counted += 1
        if self.counted == 0:
            self.began = _now()
        elif self.counted > 0:
            self.tokens += len(batch.all_targets)
            over = self.elapsed + time.perf_counter() - self.began >= self.seconds
            trainer.should_stop = over or self.counted >= self.steps

    def on_train_epoch_end(self, *_: Any) -> None:
        if self.counted > 0:
            self.elapsed += _now() - self.began


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def needed_flops(fitted: Fitted, log: Tokens) -> float:
    """`flops_per_token` of the model trained on `log`.

    The cuts of long histories are drawn anew each epoch, which changes the result by less than 1 %.
    """
    recipe, config = fitted.recipe, fitted.config
    random = np.random.default_rng(recipe.seed)
    return flops_per_token(
        linear_weights(Transformer(config).blocks.parameters()),
        config.num_layers,
        config.embedding_size,
        cut_windows(log.offsets, recipe.max_length, random).lengths,
        _scored(fitted, log),
    )


def _scored(fitted: Fitted, log: Tokens) -> int:
    """Number of items that a token is scored against: those of the first step, if the loss draws
    some."""
    recipe, vocabulary = fitted.recipe, fitted.vocabulary.numpy()
    sampler = sampler_of(recipe, log, vocabulary)
    if sampler is None:
        return len(vocabulary)
    index = np.full(int(vocabulary.max()) + 1, -1, dtype=np.int32)
    index[vocabulary] = np.arange(len(vocabulary))
    steps = Epoch(log, recipe.max_length, recipe.batch_tokens, recipe.seed, 0, index=index)
    sample = sampler.sample(next(iter(steps)), 0, 0).sample
    assert sample is not None
    return sample.negatives.shape[-1]
