"""The work after each epoch: rank the tail, keep the best weights and save a checkpoint."""

import logging
import time
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from base.arrays import Bools
from training.transformer.model import STARTS, ModelConfig
from training.transformer.module import SequenceModule
from training.transformer.scorer import AttachedScorer, encode
from training.transformer.tail import Lazy, Rows, Tail, tail_ndcg

logger = logging.getLogger("rondo.fit")


class KeepBest(lightning.Callback):
    """After each epoch, rank the tail, remember the best weights, save, and stop if there was no
    progress."""

    def __init__(
        self,
        config: ModelConfig,
        tail: Tail,
        allowed: Rows[Bools],
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
        if trainer.is_global_zero:
            logger.info(
                "epoch %d: loss %.4f, ndcg@10 %.4f on the tail, %.1f s",
                len(self.ndcg),
                self.losses[-1],
                self.ndcg[-1],
                self.seconds[-1],
            )
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
        text, known = self.text.to(device), self.known.to(device)
        scorer = AttachedScorer.of(self.config, weights, text, known)
        states = encode(scorer.model, scorer.table, self.tail.histories, self.tail.timestamps)
        items = scorer.table[STARTS:].T
        scores = Lazy(lambda rows: (states[rows] @ items).float().cpu().numpy())
        return tail_ndcg(scores, self.tail, self.allowed)
