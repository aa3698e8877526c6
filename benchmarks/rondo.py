"""Contender `rondo`: the product's own training, `training.transformer.trainer.fit`.

    python -m benchmarks.rondo task.json       # started by benchmarks.speed

The product ranks after each epoch by itself and tells when it is done, so its epochs are told then,
with the metric that it computed: the same function on the same users as for the other contenders.
"""

import sys
import tempfile
from itertools import accumulate
from pathlib import Path

import numpy as np

from benchmarks.flops import flops_per_token
from benchmarks.progress import Progress
from benchmarks.sequences import leave_out, read, some, unseen
from benchmarks.task import VALIDATED, Task
from features.params import build
from training.transformer import trainer
from training.transformer.config import RunOptions, TransformerParams
from training.transformer.model import Transformer
from training.transformer.packing import Epoch, cut_windows
from training.transformer.precision import native

ROUND_EPOCHS = 2
"""Epochs of a round that measures tokens/s only: the product trains whole ones."""


def train(task: Task) -> None:
    """Train as asked and tell about it."""
    progress = Progress(task)
    sequences = read(Path(task.data))
    tokens, tail = leave_out(sequences, 2)
    tail = some(tail, VALIDATED if task.every else 1)
    epochs = task.fit["max_epochs"] if task.every else ROUND_EPOCHS
    own = {"max_epochs": epochs, "patience": epochs, "max_length": task.length, "seed": task.seed}
    params = build(TransformerParams, "fit", task.fit | own)
    options = RunOptions(
        accelerator="cpu", precision=task.precision, threads=task.threads, logger="none"
    )
    text = np.zeros((sequences.catalogue, 1), dtype=np.float32)  # these files have no content
    with tempfile.TemporaryDirectory(dir=task.folder) as home:
        fitted = trainer.fit(
            tokens,
            tail,
            unseen(tail, sequences.catalogue),
            text,
            params,
            options,
            Path(home),
            False,
        )
    # Where long histories are cut is drawn anew each epoch, which moves this by less than 1 %.
    epoch = Epoch(tokens, task.length, fitted.recipe.batch_tokens, task.seed, 0)
    learned = sum(len(batch.all_targets) for batch in epoch)
    windows = cut_windows(tokens.offsets, params.max_length, np.random.default_rng(params.seed))
    blocks = Transformer(fitted.config).blocks.parameters()
    linear = sum(weight.numel() for weight in blocks if weight.dim() == 2)
    shape = params.shape
    flops = flops_per_token(
        linear, shape.num_layers, shape.embedding_size, windows.lengths, len(fitted.vocabulary)
    )
    parameters = sum(weight.numel() for weight in fitted.weights.values())
    precision = "float32" if native(options) == "32-true" else "bfloat16"
    progress.model(parameters, flops, precision, "torch", "lightning")
    for number, seconds in enumerate(accumulate(fitted.seconds), start=1):
        values = {"epoch": number, "seconds": seconds, "tokens": number * learned}
        judged = task.every and (number % task.every == 0 or number == len(fitted.seconds))
        progress.tell(**values, **({"ndcg": fitted.ndcg[number - 1]} if judged else {}))


if __name__ == "__main__":
    train(Task.read(Path(sys.argv[1])))
