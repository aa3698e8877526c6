"""The network: item representations, packed causal attention, and scores by dot product."""

from dataclasses import dataclass
from typing import Final, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from features.items.text import TEXT_SIZE
from features.schema import EventType
from training.transformer.attention import AttentionBias, attend, window_mask
from training.transformer.data import INTERVALS
from training.transformer.packing import BOS, Batch, Inputs
from training.transformer.precision import computing

HIDDEN_FACTOR: Final = 2
STARTS: Final = 2
"""Number of start tokens (BOS, CUT). They are the first rows of every table of representations."""

#: Number of event types for which the figures in docs/ were measured; see `_add_later_types`.
FIRST_EVENT_TYPES: Final = 10


@dataclass(frozen=True)
class ModelConfig:
    """Everything needed to rebuild the network for saved weights."""

    vocabulary: int
    """Number of items with an id embedding."""

    embedding_size: int
    num_layers: int
    num_heads: int

    max_length: int
    """How many events of a history the model uses."""

    text_size: int = TEXT_SIZE
    """Length of an item's content vector."""

    time_bias: bool = False
    """Whether attention has a bias by the time between events (`AttentionBias`)."""

    distance_bias: bool = False
    """Whether attention has a bias by the number of events in between."""

    event_types: int = len(EventType)
    """Number of event types that the model was trained with, from the start of
    `schema.EventType`."""


class Block(nn.Module):
    """Pre-norm attention and a gated feed-forward layer (SwiGLU; Shazeer, 2020)."""

    def __init__(self, size: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.dropout = dropout
        self.attention_norm = nn.LayerNorm(size)
        self.query_key_value = nn.Linear(size, 3 * size, bias=False)
        self.output = nn.Linear(size, size, bias=False)
        self.hidden_norm = nn.LayerNorm(size)
        self.gate_and_value = nn.Linear(size, 2 * HIDDEN_FACTOR * size, bias=False)
        self.down = nn.Linear(HIDDEN_FACTOR * size, size, bias=False)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """[rows, length, size] to the same shape. bias: see `attend`."""
        query, key, value = self._heads(self.query_key_value(self.attention_norm(x)), 3)
        mixed = attend(query, key, value, bias)
        x = x + self._drop(self.output(mixed.transpose(1, 2).flatten(2)))
        return x + self._drop(self._feed_forward(x))

    def last(self, x: Tensor, ends: Tensor, bias: Tensor) -> Tensor:
        """Compute only the outputs at `ends` (int64 [rows]): [rows, size]."""
        rows = torch.arange(len(x), device=x.device)
        normed = self.attention_norm(x)
        size = x.shape[-1]
        weight = self.query_key_value.weight
        key, value = self._heads(F.linear(normed, weight[size:]), 2)
        (query,) = self._heads(F.linear(normed[rows, ends], weight[:size])[:, None], 1)
        mixed = attend(query, key, value, bias[rows, :, ends][:, :, None])
        x = x[rows, ends] + self.output(mixed.transpose(1, 2).flatten(1))
        return x + self._feed_forward(x)

    def _heads(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        rows, length, _ = x.shape
        split = x.view(rows, length, parts, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        return split.unbind(0)

    def _feed_forward(self, x: Tensor) -> Tensor:
        gate, value = self.gate_and_value(self.hidden_norm(x)).chunk(2, dim=-1)
        mixed: Tensor = self.down(F.silu(gate) * value)
        return mixed

    def _drop(self, x: Tensor) -> Tensor:
        return dropout(x, self.dropout) if self.training else x


class Transformer(nn.Module):
    """Causal transformer over (item, event type, time interval, position).

    An item is represented by the embedding of its id plus a projection of its content. Items
    without an id (new, or dropped in training) share one vector instead of the embedding. Input and
    output use the same representations.
    """

    def __init__(self, config: ModelConfig, dropout: float = 0.0) -> None:
        super().__init__()
        size = config.embedding_size
        self.config = config
        self.dropout = dropout
        self.ids = nn.Embedding(config.vocabulary, size)
        self.no_id = nn.Parameter(torch.zeros(size))
        self.content = nn.Linear(config.text_size, size, bias=False)
        self.starts = nn.Embedding(STARTS, size)
        self.event_types = nn.Embedding(min(config.event_types, FIRST_EVENT_TYPES), size)
        self.intervals = nn.Embedding(INTERVALS, size)
        self.gaps = nn.Embedding(INTERVALS, size)
        self.positions = nn.Embedding(config.max_length + 1, size)
        self.blocks = nn.ModuleList(
            Block(size, config.num_heads, dropout) for _ in range(config.num_layers)
        )
        self.bias = AttentionBias(
            config.num_heads, config.max_length, config.time_bias, config.distance_bias
        )
        self.norm = nn.LayerNorm(size)
        self.scale = size**0.5
        self._initialise()

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2 or name.startswith("bias."):
                continue
            deviation = parameter.shape[1] ** -0.5
            if name.endswith(("output.weight", "down.weight")):
                deviation /= (2 * len(self.blocks)) ** 0.5
            if name in ("ids.weight", "starts.weight", "content.weight"):
                deviation = 0.02
            elif isinstance(self.get_submodule(name.rsplit(".", 1)[0]), nn.Embedding):
                deviation = 0.1
            nn.init.normal_(parameter, std=deviation)
        with torch.no_grad():
            self.content.weight.mul_(2.0)
        self._add_later_types()

    def _add_later_types(self) -> None:
        """Draw the embeddings of later event types from their own random stream.

        So a new event type does not change the other initial weights of a seed.
        """
        first = self.event_types.weight.detach()
        later = max(self.config.event_types - FIRST_EVENT_TYPES, 0)
        stream = torch.Generator("cpu").manual_seed(FIRST_EVENT_TYPES)
        added = 0.1 * torch.randn(later, first.shape[1], generator=stream, device="cpu")
        weight = torch.cat([first, added.to(first)])
        self.event_types = nn.Embedding(len(weight), weight.shape[1], _weight=weight)

    def represent(self, text: Tensor, known: Tensor) -> Tensor:
        """Representations of items [items, size], used as input and to score outputs against.

        text: [items, text_size]; known: int64 [items], row of the id embedding, −1 for none.
        """
        ids = torch.where((known < 0)[:, None], self.no_id, self.ids(known.clamp(min=0)))
        content: Tensor = self.content(text)
        return ids + content

    def table(self, text: Tensor, known: Tensor) -> Tensor:
        """[STARTS + items, size]: the start tokens, then the items as in `represent`."""
        return torch.cat([self.starts.weight, self.represent(text, known)])

    def forward(self, batch: Batch, text: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return (states [targets, size] at `batch.contexts`, items [items, size] to score them
        against).

        text, known: see `represent`.
        """
        items = self.represent(text, known)
        x = computing(self.embed(batch.inputs, torch.cat([self.starts.weight, items])))
        if self.training:
            x = dropout(x, self.dropout)
        bias = self.bias(batch.inputs, window_mask(batch.windows))
        for block in self.blocks:
            x = block(x, bias)
        states: Tensor = self.norm(x.flatten(0, 1)[batch.contexts])
        return states, items

    def embed(self, inputs: Inputs, table: Tensor) -> Tensor:
        """Input vectors [rows, length, size]."""
        x: Tensor = (
            F.embedding(inputs.items - BOS, table) * self.scale
            + self.event_types(inputs.event_types)
            + self.intervals(inputs.intervals)
            + self.gaps(inputs.gaps)
            + self.positions(inputs.positions)
        )
        return x

    def last_states(self, inputs: Inputs, table: Tensor, ends: Tensor) -> Tensor:
        """Hidden states [rows, size] at `ends` (int64 [rows]).

        Each row holds one left-aligned window.
        """
        x = self.embed(inputs, table)
        bias = self.bias(inputs, window_mask(torch.ones_like(inputs.items)))
        for block in self.blocks[:-1]:
            x = block(x, bias)
        states: Tensor = self.norm(cast(Block, self.blocks[-1]).last(x, ends, bias))
        return states


def dropout(x: Tensor, share: float) -> Tensor:
    """Dropout in steps of 1/256.

    Draws random bits eight at a time, 4× as fast on CPU as torch's.
    """
    threshold = round(256 * share)
    if not threshold:
        return x
    words = torch.empty(-(-x.numel() // 8), dtype=torch.int64, device=x.device)
    kept = words.random_(-(2**63), None).view(torch.uint8)[: x.numel()].view(x.shape) >= threshold
    return x * kept * (256 / (256 - threshold))
