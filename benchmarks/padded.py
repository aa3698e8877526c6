"""Contender `padded`: SASRec as usually written, in plain PyTorch with padded batches.

    python -m benchmarks.padded task.json      # started by benchmarks.speed

Kang and McAuley, "Self-Attentive Sequential Recommendation" (2018), with the exact softmax over the
catalogue as loss. Only positions with an event are scored, but the blocks compute padding as well.
"""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from base.arrays import Int32s, Scores
from benchmarks.flops import flops_per_token, linear_weights
from benchmarks.progress import Progress
from benchmarks.task import EMBEDDING_SIZE, NUM_HEADS, NUM_LAYERS, Arrays, Task

PADDING = 0
RANKED_AT_ONCE = 256


class SASRec(nn.Module):
    """SASRec with items numbered from 1 and `PADDING`.

    Input and output share the item embeddings.
    """

    def __init__(self, catalogue: int, length: int, dropout: float) -> None:
        super().__init__()
        size = EMBEDDING_SIZE
        self.items = nn.Embedding(catalogue + 1, size, padding_idx=PADDING)
        self.positions = nn.Embedding(length, size)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(
            size, NUM_HEADS, size, dropout, batch_first=True, norm_first=True
        )
        self.blocks = nn.TransformerEncoder(
            layer, NUM_LAYERS, nn.LayerNorm(size), enable_nested_tensor=False
        )
        nn.init.normal_(self.items.weight, std=0.02)
        nn.init.normal_(self.positions.weight, std=0.02)

    def forward(self, items: Tensor) -> Tensor:
        """int64 [rows, length], right-padded, to states [rows, length, size]."""
        length = items.shape[1]
        x = self.dropout(self.items(items) * EMBEDDING_SIZE**0.5 + self.positions.weight[:length])
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        states: Tensor = self.blocks(x, mask=mask, is_causal=True)
        return states

    def scores(self, states: Tensor) -> Tensor:
        """[n, size] to [n, catalogue + 1]."""
        return F.linear(states, self.items.weight)


def padded(rows: list[Int32s]) -> Tensor:
    """int64 [rows, longest]: the items, counted from 1, right-padded."""
    return pad_sequence(
        [torch.from_numpy(row.astype(np.int64) + 1) for row in rows],
        batch_first=True,
        padding_value=PADDING,
    )


def rank(model: SASRec, rows: list[Int32s]) -> Scores:
    """float32 [rows, catalogue]: scores of the next item after each row."""
    model.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, len(rows), RANKED_AT_ONCE):
            items = padded(rows[start : start + RANKED_AT_ONCE])
            ends = (items != PADDING).sum(dim=1) - 1
            states = model(items)[torch.arange(len(items)), ends]
            parts.append(model.scores(states)[:, 1:].numpy())
    model.train()
    return np.concatenate(parts)


def train(task: Task, arrays: Arrays) -> None:
    """Train as the task says, and report progress."""
    progress = Progress(task)
    torch.set_num_threads(task.threads)
    torch.manual_seed(task.seed)
    model = SASRec(arrays.catalogue, task.length, task.dropout)
    sequences = arrays.sequences(task.length)
    optimizer = torch.optim.Adam(model.parameters(), lr=task.learning_rate, betas=(0.9, 0.98))
    batches: DataLoader[Tensor] = DataLoader(
        sequences,  # type: ignore[arg-type]  # a list is a map-style dataset
        batch_size=task.batch_users,
        shuffle=True,
        collate_fn=padded,
    )
    lengths = np.array([len(row) - 1 for row in sequences], dtype=np.int64)
    linear = linear_weights(model.blocks.parameters())
    flops = flops_per_token(linear, NUM_LAYERS, EMBEDDING_SIZE, lengths, arrays.catalogue)
    parameters = sum(weight.numel() for weight in model.parameters())
    progress.model(parameters, flops, "float32", "torch")
    progress.start()
    over = False
    while not over:
        for batch in batches:
            inputs, targets = batch[:, :-1], batch[:, 1:]
            real = targets != PADDING
            loss = F.cross_entropy(model.scores(model(inputs)[real]), targets[real])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if progress.step(int(real.sum())):
                break
        over = progress.epoch(lambda: rank(model, arrays.asked(task.length)))


if __name__ == "__main__":
    asked = Task.read(Path(sys.argv[1]))
    train(asked, Arrays.read(Path(asked.arrays)))
