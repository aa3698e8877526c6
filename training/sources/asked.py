"""Requests against a catalogue, with values that several sources and features share computed
once."""

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
    """A catalogue in the form that sources and features need, prepared once.

    Contents are the rows of the catalogue and of replaced versions (`features.items.contents`).
    """

    catalogue: Catalogue

    @cached_property
    def text_columns(self) -> Float32s:
        """The text vectors, transposed: float32 [TEXT_SIZE, contents], contiguous."""
        return np.ascontiguousarray(self.catalogue.all_text.T)

    @cached_property
    def categories(self) -> sparse.csr_matrix:
        """float32 [contents, categories]. Each row sums to 1."""
        every = self.catalogue.all_categories
        counts = np.diff(every.indptr)
        shares = every.data / np.repeat(counts, counts).astype(np.float32)
        return sparse.csr_matrix((shares, every.indices, every.indptr), shape=every.shape)


@dataclass(frozen=True)
class Asked:
    """Requests against a catalogue.

    `newest` says how many entries of a history count as recent; `half_life` says how fast their
    weight falls.
    """

    requests: Requests
    tables: ItemTables
    newest: int
    half_life: float

    @cached_property
    def recent(self) -> sparse.csr_matrix:
        """float32 sparse [n, catalogue]: recency weights of the items in each history; rows sum
        to 1."""
        size = len(self.tables.catalogue)
        return recent_items(self.requests.histories, self.newest, self.half_life, size)

    @cached_property
    def state(self) -> State:
        """Price, availability and time of creation as known at each request: arrays [n,
        catalogue]."""
        return self.tables.catalogue.at(self.requests.timestamps)

    @cached_property
    def seen(self) -> Seen:
        """Which contents of the items each request sees."""
        return self.tables.catalogue.seen(self.requests.timestamps)
