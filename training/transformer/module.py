"""One optimisation step in the form that Lightning needs.

A step keeps no state for the next one.
"""

from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.fsdp import fully_shard

from training.transformer.data import FitError
from training.transformer.loss import cross_entropy, sampled_cross_entropy
from training.transformer.model import Transformer
from training.transformer.optimiser import Averaging, optimiser, rate
from training.transformer.packing import Batch
from training.transformer.pointwise import pointwise
from training.transformer.recipe import Recipe

MAX_GRADIENT_NORM = 1.0

CHECK_EVERY = 50
"""Steps between checks of the loss. Each check makes a GPU wait."""


class SequenceModule(lightning.LightningModule):
    """The loss `fit.loss` over all items with an id, or over those that the batch names.

    text: float32 [items with an id, text_size], their content; total_steps: length of the
    learning-rate schedule.
    """

    text: Tensor

    def __init__(self, model: Transformer, text: Tensor, recipe: Recipe, total_steps: int) -> None:
        super().__init__()
        self.model = model
        self.recipe = recipe
        self.total_steps = total_steps
        self.register_buffer("text", text, persistent=False)
        self.epoch_loss, self.epoch_steps = torch.zeros(()), 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        # Randomness depends only on (seed, step, rank), so a resumed run repeats an uninterrupted
        # one.
        _seed((self.recipe.seed, self.global_step, self.global_rank), self.device)
        # Gradients are averaged over devices, so weigh each device by its share of the targets.
        # There may be no target at all, if users only come back to items they know.
        loss = self._sum(batch) * (self.trainer.world_size / max(1, len(batch.all_targets)))
        self.epoch_loss = self.epoch_loss.to(loss.device) + loss.detach()
        self.epoch_steps += 1
        if batch_idx % CHECK_EVERY == 0:
            self.raise_if_diverged()
            self.log("loss", loss.detach(), prog_bar=True)
        return loss

    def _sum(self, batch: Batch) -> Tensor:
        """The loss, summed over this device's targets."""
        if batch.sample is None:
            known = torch.arange(len(self.text), device=self.text.device)
            states, items = self.model(batch, self.text, self._with_id(known))
            return cross_entropy(states, items, batch.targets)
        rows, drawn, log_chances = batch.sample
        states, items = self.model(batch, self.text[rows], self._with_id(rows))
        form = self.recipe.loss
        if form == "softmax" or form == "contrastive":
            return sampled_cross_entropy(states, items, batch.targets, drawn, log_chances)
        return pointwise(states, items, batch.targets, drawn, form, len(self.text))

    def _with_id(self, items: Tensor) -> Tensor:
        """`items` (int64 [n]), with −1 for those that lose their id in this step."""
        dropped = torch.rand(len(items), device=items.device) < self.recipe.id_dropout
        return items.masked_fill(dropped, -1)

    def on_train_epoch_start(self) -> None:
        self.epoch_loss, self.epoch_steps = torch.zeros((), device=self.device), 0

    def mean_loss(self) -> Tensor:
        """Mean loss of this epoch's steps on this device.

        Averaged over devices, it is the overall loss.
        """
        return self.epoch_loss / max(1, self.epoch_steps)

    def raise_if_diverged(self) -> None:
        """Raises FitError if any loss of this epoch so far was not finite."""
        if not bool(torch.isfinite(self.epoch_loss)):
            raise FitError(
                f"the loss is not finite in epoch {self.current_epoch + 1}: lower "
                f"fit.learning_rate (now {self.recipe.learning_rate:g}) or lengthen fit.warmup, or "
                "look for NaN in the content"
            )

    def configure_optimizers(self) -> Any:
        chosen = optimiser(self.model, self.recipe, self.total_steps)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            chosen, lambda step: rate(step, self.total_steps, self.recipe)
        )
        return {"optimizer": chosen, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_model(self) -> None:
        """Under FSDP, shard the weights of each block and of the rest over the devices."""
        if self.device_mesh is not None:
            for part in (*self.model.blocks, self.model):
                fully_shard(part, mesh=self.device_mesh["data_parallel"])

    def configure_gradient_clipping(self, *_: Any, **__: Any) -> None:
        nn.utils.clip_grad_norm_(self.model.parameters(), MAX_GRADIENT_NORM)

    def averaged(self) -> dict[str, Tensor]:
        """The model's averaged weights by name, float32, on their device.

        All processes must call this.
        """
        chosen = self.optimizers(use_pl_optimizer=False)
        assert isinstance(chosen, Averaging)
        return {name: chosen.average(p).float() for name, p in self.model.named_parameters()}


def _seed(parts: tuple[int, ...], device: torch.device) -> None:
    """Seed the random generators of the CPU and of `device` from `parts`.

    On a CPU this equals `torch.manual_seed`, but saves the 1 ms that torch spends per absent kind
    of accelerator on formatting a stack trace.
    """
    seed = int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)
    else:
        torch.manual_seed(seed)
