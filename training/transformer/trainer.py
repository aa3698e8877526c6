"""Runs the training: devices, stopping, checkpoints. The only module that sets up Lightning."""

import logging
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import numpy.typing as npt
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor

from training.transformer import memory
from training.transformer.config import RunOptions, TransformerParams
from training.transformer.data import FitError, Tokens
from training.transformer.failures import explained
from training.transformer.model import STARTS, ModelConfig, Transformer
from training.transformer.module import SequenceModule
from training.transformer.packing import Batch, Epoch
from training.transformer.precision import native
from training.transformer.scorer import AttachedScorer, encode
from training.transformer.tail import Tail, tail_ndcg

CHECKPOINT = "resume.ckpt"

#: Of Lightning's own making, or about choices made here on purpose.
KNOWN_WARNINGS = (
    "`isinstance\\(treespec, LeafSpec\\)` is deprecated",  # lightning calls torch's old name
    ".*does not have many workers",  # there is no loader: batches are gathered in place
)


@dataclass(frozen=True)
class Fitted:
    """What a training run yields.

    is_first: this process is the one that writes the output; weights: state of the best epoch;
    vocabulary: int32 [items with an id], catalogue index; ndcg: `ndcg@10` on the tail after each
    epoch; best: position of the best; losses: mean −log likelihood of the targets in each epoch;
    seconds: of each epoch, without ranking the tail.
    """

    is_first: bool
    config: ModelConfig
    weights: dict[str, Tensor]
    vocabulary: Tensor
    ndcg: list[float]
    best: int
    losses: list[float]
    seconds: list[float]

    def attach(self, text: npt.NDArray[np.float32]) -> AttachedScorer:
        """Ready to score a catalogue. text: float32 [catalogue, text_size], its content."""
        model = Transformer(self.config).eval().requires_grad_(False)
        model.load_state_dict(self.weights)
        known = torch.full((len(text),), -1, dtype=torch.int64)
        known[self.vocabulary] = torch.arange(len(self.vocabulary))
        return AttachedScorer(model, model.table(torch.from_numpy(text), known))


class EpochBatches:
    """The batches of the trainer's current epoch, for this process's share of the devices."""

    def __init__(self, epoch: Epoch, module: SequenceModule, keep: "KeepBest") -> None:
        self.epoch = epoch
        self.module = module
        self.keep = keep

    def __iter__(self) -> Iterator[Batch]:
        # A resumed trainer asks for batches before its own count of epochs is right.
        trainer = self.module.trainer
        epoch = len(self.keep.ndcg)
        return iter(
            replace(self.epoch, epoch=epoch, rank=trainer.global_rank, world=trainer.world_size)
        )


class KeepBest(lightning.Callback):
    """After each epoch: rank the tail, remember the best weights, save, stop when it got old."""

    def __init__(
        self,
        config: ModelConfig,
        tail: Tail,
        allowed: npt.NDArray[np.bool_],
        text: Tensor,
        known: Tensor,
        patience: int,
        checkpoint: Path,
    ) -> None:
        self.config = config
        self.tail = tail
        self.allowed = allowed
        self.text = text
        self.known = known
        self.patience = patience
        self.checkpoint = checkpoint
        self.ndcg: list[float] = []
        self.losses: list[float] = []
        self.seconds: list[float] = []
        self.began = 0.0
        self.weights: dict[str, Tensor] = {}

    @property
    def best(self) -> int:
        return int(np.argmax(self.ndcg))

    def state_dict(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("ndcg", "losses", "seconds", "weights")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)

    def on_train_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        self._stop_if_old(trainer)

    def on_train_epoch_start(self, *_: Any) -> None:
        self.began = time.perf_counter()

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        assert isinstance(pl_module, SequenceModule)
        pl_module.raise_if_diverged()
        self.losses.append(float(trainer.strategy.reduce(pl_module.mean_loss(), reduce_op="mean")))
        self.seconds.append(time.perf_counter() - self.began)
        weights = pl_module.averaged()
        ndcg = self._rank_tail(weights, pl_module.device) if trainer.is_global_zero else 0.0
        self.ndcg.append(trainer.strategy.broadcast(ndcg))
        pl_module.log("tail_ndcg@10", self.ndcg[-1], prog_bar=True, sync_dist=True)
        if self.best == len(self.ndcg) - 1:
            self.weights = {name: value.cpu().clone() for name, value in weights.items()}
        self._stop_if_old(trainer)
        temporary = self.checkpoint.with_suffix(".tmp")
        trainer.save_checkpoint(temporary, weights_only=False)
        if trainer.is_global_zero:
            temporary.replace(self.checkpoint)
        trainer.strategy.barrier()

    def _stop_if_old(self, trainer: lightning.Trainer) -> None:
        if self.ndcg and len(self.ndcg) - 1 - self.best >= self.patience:
            trainer.should_stop = True

    def _rank_tail(self, weights: dict[str, Tensor], device: torch.device) -> float:
        model = Transformer(self.config).to(device).eval()
        model.load_state_dict(weights)
        with torch.inference_mode():
            table = model.table(self.text.to(device), self.known.to(device))
            states = encode(model, table, self.tail.histories, self.tail.timestamps)
            scores = (states @ table[STARTS:].T).float().cpu().numpy()
        return tail_ndcg(scores, self.tail, self.allowed)


def fit(
    train: Tokens,
    tail: Tail,
    allowed: npt.NDArray[np.bool_],
    text: npt.NDArray[np.float32],
    params: TransformerParams,
    options: RunOptions,
    checkpoints: Path,
    logs: Path | None,
) -> Fitted:
    """Train on `train`, stop by `tail`, resume from `checkpoints` if a run was cut short there.

    allowed: bool [queries, catalogue]; text: float32 [catalogue, text_size]; logs: TensorBoard
    folder or None. Raises FitError if the data has fewer than two items, its content is not
    finite, or the loss diverges.
    """
    vocabulary = np.unique(train.items)
    if len(vocabulary) < 2:
        raise FitError("the fit window has a single item: nothing to choose between")
    if not np.isfinite(text).all():
        rows = np.flatnonzero(~np.isfinite(text).all(axis=1))
        raise FitError(f"content vectors of {len(rows)} items are not finite, first row {rows[0]}")
    if options.accelerator != "gpu":
        torch.set_num_threads(options.threads)
        memory.keep()
    index = np.full(len(text), -1, dtype=np.int32)
    index[vocabulary] = np.arange(len(vocabulary), dtype=np.int32)
    epoch = Epoch(train.renumber(index), params.max_length, params.batch_tokens, params.seed, 0)
    shape = params.shape
    config = ModelConfig(
        len(vocabulary),
        shape.embedding_size,
        shape.num_layers,
        shape.num_heads,
        params.max_length,
        text.shape[1],
        params.time_bias,
        params.distance_bias,
    )
    torch.manual_seed(params.seed)
    model = Transformer(config, params.dropout)
    if options.compile:
        model.compile()
    content = torch.from_numpy(text)
    module = SequenceModule(
        model, content[torch.from_numpy(vocabulary).long()], params, epoch.steps * params.max_epochs
    )
    checkpoints.mkdir(parents=True, exist_ok=True)
    keep = KeepBest(
        config,
        tail,
        allowed,
        content,
        torch.from_numpy(index).long(),
        params.patience,
        checkpoints / CHECKPOINT,
    )
    _run(module, EpochBatches(epoch, module, keep), keep, params, options, logs)
    return Fitted(
        module.trainer.is_global_zero,
        config,
        keep.weights,
        torch.from_numpy(vocabulary),
        keep.ndcg,
        keep.best,
        keep.losses,
        keep.seconds,
    )


def _strategy(options: RunOptions) -> str | ModelParallelStrategy:
    """Lightning's name, or FSDP2, whose checkpoint is one file for any number of devices."""
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
    params: TransformerParams,
    options: RunOptions,
    logs: Path | None,
) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    trainer = lightning.Trainer(
        accelerator=options.accelerator,
        devices=options.devices,
        num_nodes=options.num_nodes,
        strategy=_strategy(options),
        precision=native(options),
        max_epochs=params.max_epochs,
        callbacks=[keep],
        logger=TensorBoardLogger(logs, name="fit") if logs else False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
        use_distributed_sampler=False,
        log_every_n_steps=10,
    )
    path = keep.checkpoint if keep.checkpoint.exists() else None
    with explained(params), warnings.catch_warnings():
        for message in KNOWN_WARNINGS:
            warnings.filterwarnings("ignore", message=message)
        trainer.fit(module, batches, ckpt_path=path, weights_only=True)
