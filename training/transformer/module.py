"""One optimisation step, as Lightning wants it. Nothing in a step depends on the step before."""

import math
from typing import Any

import lightning
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel

from training.transformer.config import TransformerParams
from training.transformer.data import FitError
from training.transformer.model import STARTS, Transformer
from training.transformer.packing import Batch

FINAL_RATE = 0.05
"""Share of the peak learning rate that is left after the last epoch."""

MAX_GRADIENT_NORM = 1.0

CHECK_EVERY = 50
"""Steps between looks at the loss, which make a GPU wait."""


class SequenceModule(lightning.LightningModule):
    """Exact softmax over the items with an id.

    text: float32 [items with an id, text_size], their content; total_steps: length of the
    learning-rate schedule.
    """

    text: Tensor

    def __init__(
        self, model: Transformer, text: Tensor, params: TransformerParams, total_steps: int
    ) -> None:
        super().__init__()
        self.model = model
        self.params = params
        self.total_steps = total_steps
        self.register_buffer("text", text, persistent=False)
        self.epoch_loss = torch.zeros(())

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # Randomness is a function of (seed, step, rank), so a resumed run repeats an unbroken one.
        seed = (self.params.seed, self.global_step, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1))
        table = self.model.table(self.text, self._known())
        hidden = self.model(batch, table)
        logits = (hidden @ table[STARTS:].T).float()
        # Gradients are averaged over devices: weigh each device by its share of the targets.
        loss = F.cross_entropy(logits, batch.targets, reduction="sum")
        loss = loss * (self.trainer.world_size / batch.total)
        self.epoch_loss = self.epoch_loss.to(loss.device) + loss.detach()
        if batch_idx % CHECK_EVERY == 0:
            self.raise_if_diverged()
            self.log("loss", loss.detach(), prog_bar=True)
        return loss

    def _known(self) -> Tensor:
        count = len(self.text)
        known = torch.arange(count, device=self.text.device)
        dropped = torch.rand(count, device=self.text.device) < self.params.id_dropout
        return known.masked_fill(dropped, -1)

    def on_train_epoch_start(self) -> None:
        self.epoch_loss = torch.zeros((), device=self.device)

    def raise_if_diverged(self) -> None:
        """Raises FitError if any loss of this epoch so far was not finite."""
        if not bool(torch.isfinite(self.epoch_loss)):
            raise FitError(
                f"the loss is not finite in epoch {self.current_epoch + 1}: lower the learning "
                "rate (a smaller fit.size or longer fit.warmup), or look for NaN in the content"
            )

    def configure_optimizers(self) -> Any:
        decayed: list[nn.Parameter] = []
        others: list[nn.Parameter] = []
        for name, parameter in self.model.named_parameters():
            (decayed if name.endswith(".weight") and "norm" not in name else others).append(
                parameter
            )
        groups = [
            {"params": decayed, "weight_decay": self.params.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        rate = self.params.shape.learning_rate
        optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        sharded = self.trainer.strategy.model
        if isinstance(sharded, FullyShardedDataParallel):
            sharded.clip_grad_norm_(MAX_GRADIENT_NORM)
        else:
            nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)

    def _rate(self, step: int) -> float:
        """Linear warm-up, then a half cosine down to FINAL_RATE."""
        warm = (step + 1) / (self.params.warmup * self.total_steps + 1)
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.total_steps)))
        return min(1.0, warm) * (FINAL_RATE + (1 - FINAL_RATE) * cosine)
