"""Scores of the trained transformer, for one request or many. Needs torch but not lightning."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from base.arrays import Float32s, Int64s
from features.items.catalogue import Catalogue
from features.items.contents import Seen
from features.items.identity import begins_with
from features.ragged import Histories, spans
from features.schema import EVENT_CODES, SECOND, EventType
from training.transformer import artefact
from training.transformer.data import interval_buckets
from training.transformer.model import STARTS, ModelConfig, Transformer
from training.transformer.packing import BOS, CUT, Inputs

CHUNK_TOKENS = 16_384

#: Stands for event types that a model does not know: the weakest sign of wanting an item.
UNKNOWN = EVENT_CODES[EventType.VIEW]


class CatalogueMismatch(ValueError):
    """A catalogue does not begin with the one that the model was fitted on."""


@dataclass(frozen=True)
class AttachedScorer:
    """A model with the representations of one catalogue's items (`Transformer.table`).

    The last `older` rows belong to replaced contents (`Catalogue.older`).
    """

    model: Transformer
    table: Tensor
    older: int = 0

    @staticmethod
    def of(
        config: ModelConfig, weights: Mapping[str, Tensor], text: Tensor, known: Tensor
    ) -> "AttachedScorer":
        """Create a scorer on the device of `text`. text, known: see `Transformer.represent`."""
        model = Transformer(config).to(text.device).eval().requires_grad_(False)
        model.load_state_dict(weights)
        with torch.inference_mode():
            return AttachedScorer(model, model.table(text, known))

    @property
    def items(self) -> Float32s:
        """float32 [catalogue, size]: the vectors that `encode` is scored against."""
        return np.asarray(self.table[STARTS : len(self.table) - self.older].numpy())

    def encode(self, histories: Histories, timestamps: Int64s) -> Float32s:
        """float32 [n, size]: the state of each user at its time (int64 [n], µs).

        An empty history has a state too, that of an unknown user.
        """
        return np.asarray(encode(self.model, self.table, histories, timestamps).numpy())

    def scores(
        self, histories: Histories, timestamps: Int64s, seen: Seen | None = None
    ) -> Float32s:
        """float32 [n, catalogue], higher is better, not masked.

        seen: which contents each request sees; None for the newest.
        """
        if seen is None:
            return np.asarray(self.encode(histories, timestamps) @ self.items.T)
        states = self.encode(seen.histories(histories), timestamps)
        return seen.scores(np.asarray(states @ self.table[STARTS:].numpy().T))


@dataclass(frozen=True)
class Scorer:
    """A trained model. vocabulary: int32 [items with an id], their catalogue index."""

    model: Transformer
    vocabulary: Tensor
    catalogue_size: int
    catalogue_hash: str

    @staticmethod
    def load(folder: Path) -> "Scorer":
        """Load the folder written by stage `fit`."""
        return Scorer(*artefact.load(folder))

    def save(self, folder: Path) -> None:
        """Write the model in the form that `load` reads."""
        artefact.write(
            folder,
            self.model.config,
            self.model.state_dict(),
            self.vocabulary,
            self.catalogue_size,
            self.catalogue_hash,
        )

    def attach(self, catalogue: Catalogue) -> AttachedScorer:
        """Prepare to score `catalogue`: trained items by id and content, others only by content.

        Raises CatalogueMismatch unless the catalogue begins with the items fitted on.
        """
        return AttachedScorer(self.model, self._table(catalogue), len(catalogue.older))

    def _table(self, catalogue: Catalogue) -> Tensor:
        if not begins_with(catalogue.item_ids, self.catalogue_size, self.catalogue_hash):
            raise CatalogueMismatch(
                f"the first {self.catalogue_size} items of the catalogue ({len(catalogue)} items) "
                "are not those the transformer was fitted on, in that order"
            )
        known = torch.full((len(catalogue),), -1, dtype=torch.int64)
        known[self.vocabulary.long()] = torch.arange(len(self.vocabulary))
        known = torch.cat([known, known[torch.from_numpy(catalogue.older.items)]])
        with torch.inference_mode():
            return self.model.table(torch.from_numpy(catalogue.all_text), known)


def encode(model: Transformer, table: Tensor, histories: Histories, timestamps: Int64s) -> Tensor:
    """float32 [n, size] on the table's device: see `AttachedScorer.encode`.

    Histories of similar length are computed together, so that little padding is needed.
    """
    kept = np.minimum(histories.lengths, model.config.max_length)
    with torch.inference_mode():
        if len(kept) == 1:
            return _last_states(model, table, histories, timestamps, kept, np.zeros(1, np.int64))
        states = torch.empty((len(kept), table.shape[1]), dtype=table.dtype, device=table.device)
        order = np.argsort(-kept, kind="stable")
        begin = 0
        while begin < len(order):
            rows = order[begin : begin + max(1, CHUNK_TOKENS // int(kept[order[begin]] + 1))]
            states[torch.from_numpy(rows)] = _last_states(
                model, table, histories, timestamps, kept, rows
            )
            begin += len(rows)
        return states


def _last_states(
    model: Transformer,
    table: Tensor,
    histories: Histories,
    timestamps: Int64s,
    kept: Int64s,
    rows: Int64s,
) -> Tensor:
    parts = _padded(histories, timestamps, kept, rows, model.config.event_types)
    inputs = Inputs(*(part.to(table.device) for part in parts))
    return model.last_states(inputs, table, torch.from_numpy(kept[rows]).to(table.device))


def _padded(
    histories: Histories, timestamps: Int64s, kept: Int64s, rows: Int64s, event_types: int
) -> Inputs:
    """The newest `kept` events of `rows` after a start token, left-aligned.

    An event type added after the model was trained counts as UNKNOWN, since the event's item is
    still informative.
    """
    lengths = kept[rows]
    width = int(lengths.max()) + 1
    event = spans(histories.offsets[rows + 1] - lengths, lengths)
    row = np.repeat(np.arange(len(rows)), lengths)
    position = spans(np.ones_like(lengths), lengths)
    slot = row * width + position
    times = histories.timestamps[event]
    following = np.empty_like(times)
    following[:-1] = times[1:]
    ends = np.cumsum(lengths) - 1
    full = lengths > 0
    following[ends[full]] = timestamps[rows[full]]
    gaps = interval_buckets(following - times)
    begins = np.cumsum(lengths) - lengths
    first = np.repeat(times[begins[full]], lengths[full]) // SECOND
    values = np.zeros((len(Inputs._fields), len(rows) * width), dtype=np.int64)
    values[0, slot] = histories.items[event]
    values[0, ::width] = np.where(histories.lengths[rows] > lengths, CUT, BOS)
    types = histories.event_types[event]
    values[1, slot] = np.where(types < event_types, types, UNKNOWN)
    values[3, slot] = gaps
    values[4, slot] = position
    later = slot[position > 1]
    values[2, later] = values[3, later - 1]
    values[5, slot] = times // SECOND - first
    values[6, slot] = following // SECOND - first
    shaped = torch.from_numpy(values.reshape(-1, len(rows), width))
    return Inputs(*shaped)
