"""Run the training: devices, stopping, checkpoints. The only module that sets up Lightning."""

import logging
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import lightning
import numpy as np
import torch
from lightning.pytorch.loggers import Logger
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor

from base.arrays import Bools, Float32s
from training.transformer import memory
from training.transformer.config import RunOptions, TransformerParams
from training.transformer.data import FitError, Tokens, chunks
from training.transformer.failures import explained
from training.transformer.keep_best import KeepBest
from training.transformer.model import ModelConfig, Transformer
from training.transformer.module import SequenceModule
from training.transformer.packing import Batch, Epoch
from training.transformer.precision import native
from training.transformer.recipe import Recipe
from training.transformer.sampling import Sampler, sampler_of
from training.transformer.scorer import AttachedScorer
from training.transformer.tail import Rows, Tail

CHECKPOINT = "resume.ckpt"

#: Warnings caused by Lightning itself, or by choices made here on purpose.
KNOWN_WARNINGS = (
    "`isinstance\\(treespec, LeafSpec\\)` is deprecated",  # lightning uses torch's old name
    "MLFlow only allows",  # MLflow shows ndcg@10 without the @
    ".*does not have many workers",  # no loader is needed: batches are gathered here
)


@dataclass(frozen=True)
class Fitted:
    """The result of a training run.

    is_first: whether this process writes the output; weights: state of the best epoch; vocabulary:
    int32 [items with an id], catalogue index; ndcg: `ndcg@10` on the tail after each epoch; best:
    index of the best epoch; losses: per epoch, mean over its steps of the mean over their targets;
    seconds: per epoch, without ranking the tail; recipe: section `fit` with all settings derived.
    """

    is_first: bool
    config: ModelConfig
    weights: dict[str, Tensor]
    vocabulary: Tensor
    ndcg: list[float]
    best: int
    losses: list[float]
    seconds: list[float]
    recipe: Recipe

    @property
    def parameters(self) -> int:
        """Number of weights of the model."""
        return sum(weight.numel() for weight in self.weights.values())

    def attach(self, text: Float32s) -> AttachedScorer:
        """Prepare to score a catalogue. text: float32 [catalogue, text_size], its content."""
        known = torch.full((len(text),), -1, dtype=torch.int64)
        known[self.vocabulary] = torch.arange(len(self.vocabulary))
        return AttachedScorer.of(self.config, self.weights, torch.from_numpy(text), known)


class OwnSignals(lightning.Callback):
    """Keep the default effect of SIGTERM, which ends the process at once; the next run resumes.

    Lightning's own handler would finish the current step, or the ranking of a large tail, and then
    report success.
    """

    def __init__(self) -> None:
        self.before = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, *_: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self.before)


class EpochBatches:
    """The batches of the trainer's current epoch, for this process's share of the devices.

    sampler: None for the exact softmax.
    """

    def __init__(
        self, epoch: Epoch, sampler: Sampler | None, module: SequenceModule, keep: KeepBest
    ) -> None:
        self.epoch = epoch
        self.sampler = sampler
        self.module = module
        self.keep = keep

    def __iter__(self) -> Iterator[Batch]:
        # A resumed trainer asks for batches before it has restored its own epoch counter.
        trainer = self.module.trainer
        number = len(self.keep.ndcg)
        epoch = replace(
            self.epoch, epoch=number, rank=trainer.global_rank, world=trainer.world_size
        )
        if self.sampler is None:
            return iter(epoch)
        sample = self.sampler.sample
        return (sample(batch, number, step) for step, batch in enumerate(epoch))


def fit(
    train: Tokens,
    tail: Tail,
    allowed: Rows[Bools],
    text: Float32s,
    params: TransformerParams,
    options: RunOptions,
    checkpoints: Path,
    logger: Logger | Literal[False],
    callbacks: Sequence[lightning.Callback] = (),
) -> Fitted:
    """Train on `train`, stop by `tail`, and resume from `checkpoints` if an earlier run was
    interrupted.

    allowed: bool [queries, catalogue]; text: float32 [catalogue, text_size]; logger: from
    `open_logger`; callbacks: for Lightning, such as one that measures. Raises FitError if the data
    has fewer than two items, its content is not finite, or the loss diverges.
    """
    vocabulary = np.flatnonzero(train.counts(len(text)))
    if len(vocabulary) < 2:
        raise FitError("the fit window has a single item: nothing to choose between")
    _check_content(text)
    recipe = Recipe.of(params, len(train), len(vocabulary))
    if logger:
        logger.log_hyperparams(asdict(recipe))
    if options.accelerator != "gpu":
        torch.set_num_threads(options.threads)
        memory.keep()
    index = np.full(len(text), -1, dtype=np.int32)
    index[vocabulary] = np.arange(len(vocabulary))
    epoch = Epoch(
        train,
        recipe.max_length,
        recipe.batch_tokens,
        recipe.seed,
        0,
        index=index if len(vocabulary) < len(text) else None,
    )
    shape = recipe.shape
    devices = options.devices * options.num_nodes
    if devices > epoch.rows_per_step:
        raise FitError(
            f"a step of fit.batch_tokens={recipe.batch_tokens} has {epoch.rows_per_step} rows, "
            f"fewer than the {devices} devices: raise it, or use fewer devices"
        )
    config = ModelConfig(
        len(vocabulary),
        shape.embedding_size,
        shape.num_layers,
        shape.num_heads,
        recipe.max_length,
        text.shape[1],
        recipe.time_bias,
        recipe.distance_bias,
    )
    torch.manual_seed(recipe.seed)
    model = Transformer(config, recipe.dropout)
    if options.compile:
        model.compile()
    content = torch.from_numpy(text)
    # Avoid a copy if every item of the catalogue has an id.
    known = content[torch.from_numpy(vocabulary)] if epoch.index is not None else content
    module = SequenceModule(model, known, recipe, epoch.steps * recipe.max_epochs)
    sampler = sampler_of(recipe, train, vocabulary)
    checkpoints.mkdir(parents=True, exist_ok=True)
    keep = KeepBest(
        config,
        tail,
        allowed,
        content,
        torch.from_numpy(index).long(),
        recipe.patience,
        checkpoints / CHECKPOINT,
    )
    batches = EpochBatches(epoch, sampler, module, keep)
    _run(module, batches, keep, recipe, options, logger, callbacks)
    return Fitted(
        module.trainer.is_global_zero,
        config,
        keep.weights,
        torch.from_numpy(vocabulary.astype(np.int32)),
        keep.ndcg,
        keep.best,
        keep.losses,
        keep.seconds,
        recipe,
    )


def _check_content(text: Float32s) -> None:
    for part in chunks(len(text), 2**16):
        finite = np.isfinite(text[part]).all(axis=1)
        if not finite.all():
            first = part.start + int(np.argmin(finite))
            raise FitError(f"content vectors of items are not finite, the first in row {first}")


def _strategy(options: RunOptions) -> str | ModelParallelStrategy:
    """Lightning's name of the strategy, or FSDP2 with one checkpoint file for any number of
    devices."""
    if options.strategy != "fsdp":
        return options.strategy
    return ModelParallelStrategy(
        data_parallel_size=options.devices * options.num_nodes,
        tensor_parallel_size=1,
        save_distributed_checkpoint=False,
    )


def _run(
    module: SequenceModule,
    batches: EpochBatches,
    keep: KeepBest,
    recipe: Recipe,
    options: RunOptions,
    logger: Logger | Literal[False],
    callbacks: Sequence[lightning.Callback],
) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = lightning.Trainer(
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.num_nodes,
        strategy=_strategy(options),
        precision=native(options),
        max_epochs=recipe.max_epochs,
        callbacks=[*callbacks, keep, OwnSignals()],
        logger=logger,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        use_distributed_sampler=False,
        log_every_n_steps=10,
    )
    path = keep.checkpoint if keep.checkpoint.exists() else None
    with explained(recipe), warnings.catch_warnings():
        for message in KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        trainer.fit(module, batches, ckpt_path=path, weights_only=True)
