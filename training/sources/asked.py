"""Requests over a catalogue, with what several sources and features look at computed once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from base.arrays import Float32s
from features.items.catalogue import Catalogue
from features.items.contents import Seen
from features.items.past import State
from features.requests.requests import Requests
from training.sources.recent import recent_items


@dataclass(frozen=True)
class ItemTables:
    """A catalogue as the sources and features need it, prepared once.

    Contents are the rows of the catalogue and of the versions that were replaced
    (`features.items.contents`).
    """

    catalogue: Catalogue

    @cached_property
    def text_columns(self) -> Float32s:
        """float32 [TEXT_SIZE, contents], contiguous."""
        return np.ascontiguousarray(self.catalogue.all_text.T)

    @cached_property
    def categories(self) -> sparse.csr_matrix:
        """float32 [contents, categories]: those of one row sum to 1."""
        every = self.catalogue.all_categories
        counts = np.diff(every.indptr)
        shares = every.data / np.repeat(counts, counts).astype(np.float32)
        return sparse.csr_matrix((shares, every.indices, every.indptr), shape=every.shape)


@dataclass(frozen=True)
class Asked:
    """Requests over a catalogue; `newest` and `half_life` say which entries of a history count as
    recent, and how much."""

    requests: Requests
    tables: ItemTables
    newest: int
    half_life: float

    @cached_property
    def recent(self) -> sparse.csr_matrix:
        """float32 sparse [n, catalogue]: what each history was about lately; rows sum to 1."""
        size = len(self.tables.catalogue)
        return recent_items(self.requests.histories, self.newest, self.half_life, size)

    @cached_property
    def state(self) -> State:
        """Price, availability and creation as known at each request: arrays [n, catalogue]."""
        return self.tables.catalogue.at(self.requests.timestamps)

    @cached_property
    def seen(self) -> Seen:
        """Which contents each request sees of the items."""
        return self.tables.catalogue.seen(self.requests.timestamps)
