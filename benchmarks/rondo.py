"""Contender `rondo`: the product's own training, `training.transformer.trainer.fit`.

    python -m benchmarks.rondo task.json       # started by benchmarks.speed

In a race, the product ranks after each epoch by itself. When it is done, its epochs are reported
with the metrics that it computed, by the same function and for the same users as for other
contenders. In a round, a callback counts steps and ends the training.
"""

import sys
import tempfile
from itertools import accumulate
from pathlib import Path

import numpy as np

from base.params import build
from benchmarks.progress import Progress
from benchmarks.sequences import lazy_unseen, leave_out, read, some
from benchmarks.task import VALIDATED, Task
from benchmarks.trained import Watch, needed_flops
from training.transformer import trainer
from training.transformer.config import RunOptions, TransformerParams
from training.transformer.packing import Epoch
from training.transformer.precision import native

ROUND_EPOCHS = 1000
"""Limit for a round. More than its seconds allow."""


def train(task: Task) -> None:
    """Train as the task says, and report progress."""
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
    watch = Watch(task.seconds)
    with tempfile.TemporaryDirectory(dir=task.folder) as home:
        fitted = trainer.fit(
            tokens,
            tail,
            lazy_unseen(tail, sequences.catalogue),
            text,
            params,
            options,
            Path(home),
            False,
            [] if task.every else [watch],
        )
    precision = "float32" if native(options) == "32-true" else "bfloat16"
    flops = needed_flops(fitted, tokens)
    progress.model(fitted.parameters, flops, precision, "torch", "lightning")
    if not task.every:
        progress.tell(epoch=1, seconds=watch.elapsed, tokens=watch.tokens)
        return
    learned = sum(
        len(batch.all_targets)
        for batch in Epoch(tokens, task.length, fitted.recipe.batch_tokens, task.seed, 0)
    )
    for number, seconds in enumerate(accumulate(fitted.seconds), start=1):
        values = {"epoch": number, "seconds": seconds, "tokens": number * learned}
        judged = number % task.every == 0 or number == len(fitted.seconds)
        progress.tell(**values, **({"ndcg": fitted.ndcg[number - 1]} if judged else {}))


if __name__ == "__main__":
    train(Task.read(Path(sys.argv[1])))
