"""Contender `rectools`: RecTools' SASRecModel, with RecTools' own training and data loading.

    python -m benchmarks.rectools_sasrec task.json     # started by benchmarks.speed

Runs in the environment made by `benchmarks.rectools_environment`, so it may import only those of
our modules that need no more than numpy. RecTools cuts, pads and batches the histories, computes
the loss and makes the steps. The benchmark only sets threads and epochs, measures time and ranks.
"""

import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytorch_lightning as lightning
import torch
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import SASRecModel

from base.arrays import Int32s, Int64s, Scores
from benchmarks.flops import flops_per_token, linear_weights
from benchmarks.progress import Progress
from benchmarks.task import EMBEDDING_SIZE, NUM_HEADS, NUM_LAYERS, Arrays, Task

PADDING = 0
RANKED_AT_ONCE = 256


class Told(lightning.Callback):
    """Reports each epoch, and stops training when told to."""

    def __init__(self, task: Task, arrays: Arrays) -> None:
        self.task = task
        self.arrays = arrays
        self.progress = Progress(task)

    def on_train_start(self, _: lightning.Trainer, pl_module: Any) -> None:
        network = pl_module.torch_model
        linear = linear_weights(network.transformer_layers.parameters())
        lengths = np.minimum(np.diff(self.arrays.offsets) - 1, self.task.length)
        scored = len(pl_module.data_preparator.get_known_item_ids())
        flops = flops_per_token(linear, NUM_LAYERS, EMBEDDING_SIZE, lengths[lengths > 0], scored)
        parameters = sum(weight.numel() for weight in network.parameters())
        packages = ("rectools", "torch", "pytorch-lightning")
        self.progress.model(parameters, flops, "float32", *packages)
        self.progress.start()

    def on_train_batch_end(
        self, trainer: lightning.Trainer, _: Any, __: Any, batch: Any, ___: int
    ) -> None:
        if self.progress.step(int((batch["y"] != PADDING).sum())):
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        if self.progress.epoch(partial(rank, pl_module, self.arrays, self.task.length)):
            trainer.should_stop = True


def rank(module: Any, arrays: Arrays, length: int) -> Scores:
    """float32 [asked, catalogue], −inf for items that RecTools has not seen in training."""
    network = module.torch_model
    ids = module.data_preparator.item_id_map
    known = np.asarray(module.data_preparator.get_known_item_ids(), dtype=np.int64)
    number = np.zeros(arrays.catalogue, dtype=np.int64)
    number[known] = ids.convert_to_internal(known)
    scores = np.full((len(arrays.asked_offsets) - 1, arrays.catalogue), -np.inf, dtype=np.float32)
    rows = arrays.asked(length)
    network.eval()
    with torch.inference_mode():
        table = network.item_model.get_all_embeddings()
        for start in range(0, len(rows), RANKED_AT_ONCE):
            part = rows[start : start + RANKED_AT_ONCE]
            x = np.zeros((len(part), length), dtype=np.int64)
            for row, items in zip(x, part, strict=True):
                kept = number[items]
                kept = kept[kept != PADDING]  # RecTools also leaves out unknown items
                row[length - len(kept) :] = kept
            states = network.encode_sessions({"x": torch.from_numpy(x)}, table)[:, -1]
            chunk = (states @ table.T).numpy()
            scores[start : start + len(part), known] = chunk[:, number[known]]
    network.train()
    return scores


def interactions(offsets: Int64s, items: Int32s) -> pd.DataFrame:
    """The training events in RecTools' format. The position of an event serves as its time."""
    lengths = np.diff(offsets)
    place = np.arange(len(items)) - np.repeat(offsets[:-1], lengths)
    return pd.DataFrame(
        {
            Columns.User: np.repeat(np.arange(len(lengths)), lengths),
            Columns.Item: items.astype(np.int64),
            Columns.Weight: 1.0,
            Columns.Datetime: pd.to_datetime(place, unit="s"),
        }
    )


def trainer_for(told: Told, epochs: int) -> lightning.Trainer:
    """RecTools' own default trainer, with the callback."""
    return lightning.Trainer(
        accelerator="cpu",
        max_epochs=epochs,
        callbacks=[told],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        devices=1,
    )


def train(task: Task, arrays: Arrays) -> SASRecModel:
    """Train as the task says, report progress, and return the fitted model."""
    torch.set_num_threads(task.threads)
    lightning.seed_everything(task.seed)
    told = Told(task, arrays)
    model = SASRecModel(
        n_blocks=NUM_LAYERS,
        n_heads=NUM_HEADS,
        n_factors=EMBEDDING_SIZE,
        dropout_rate=task.dropout,
        session_max_len=task.length,
        loss="softmax",
        lr=task.learning_rate,
        batch_size=task.batch_users,
        get_trainer_func=lambda: trainer_for(told, task.epochs),
    )
    return model.fit(Dataset.construct(interactions(arrays.offsets, arrays.items)))


if __name__ == "__main__":
    asked = Task.read(Path(sys.argv[1]))
    train(asked, Arrays.read(Path(asked.arrays)))
