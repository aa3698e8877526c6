"""Retrieve and rank: one code path for training candidates, judging, serving and valuation.

Missing parts are replaced: without a transformer, the trees rank what the other sources find.
Without trees, candidates keep the transformer's order. Without both, recency-popularity decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import sparse

from base.arrays import Bools, Float32s, Int32s, Scores
from features.items.catalogue import Catalogue
from features.items.identity import begins_with, digest
from features.requests.requests import Requests
from training.eligible import eligible_items, masked
from training.metrics.lists import top_lists
from training.rank_features import FEATURES, rank_features
from training.ranker import Ranker
from training.retrieve import Candidates, unite
from training.sources.asked import Asked, ItemTables
from training.sources.fitted import Sources
from training.sources.neighbours import AttachedNeighbours, Neighbours
from training.sources.popularity import Popularity
from training.sources.source import Attached, ReleaseError
from training.sources.transformer import AttachedTransformer, TransformerSource
from training.transformer.scorer import AttachedScorer

__all__ = ["FEATURES", "Ranked", "Recommender", "ReleaseError"]

#: Requests times items that are ranked at a time, which bounds the memory.
_CHUNK_CELLS = 1_000_000
#: Requests ranked at a time at least. A product with the vectors of all items reads them once for
#: all of its rows: with four rows it takes 69 ms a row over 1,000,000 items, with one 115.
_CHUNK_ROWS = 4


@dataclass(frozen=True)
class Ranked:
    """Ranked candidates of n requests.

    candidates: int32 [n, C], padded with -1; scores: float32 [n, C], padded with -inf; features:
    float32 [n, C, len(FEATURES)]; sources: uint8 [n, C], bits of `sources.all.SOURCES`.
    """

    candidates: Int32s
    scores: Scores
    features: Float32s
    sources: npt.NDArray[np.uint8]

    def top(self, k: int) -> Int32s:
        """The k best of each request, int32 [n, k], -1 where there are fewer."""
        return top_lists(self.scores, k, self.candidates)


@dataclass(frozen=True)
class Recommender:
    """The parts of a release, attached to a catalogue."""

    catalogue: Catalogue
    sources: Sources
    ranker: Ranker | None

    @staticmethod
    def load(folder: Path, catalogue: Catalogue) -> "Recommender":
        """Load a release folder: `sources/`, and `transformer/` and `trees/` if present.

        Raises ReleaseError if the release does not fit the catalogue.
        """
        return Recommender.assemble(
            catalogue, folder / "sources", folder / "transformer", folder / "trees"
        )

    @staticmethod
    def assemble(
        catalogue: Catalogue, sources: Path, transformer: Path | None, trees: Path | None
    ) -> "Recommender":
        """Load the parts from separate folders. A part that is None or absent is left out."""
        parts = Sources.load(sources, transformer)
        parts.check(catalogue)
        has_trees = trees is not None and trees.exists()
        return Recommender(
            catalogue, parts, Ranker.load(trees) if trees is not None and has_trees else None
        )

    def with_catalogue(self, catalogue: Catalogue) -> "Recommender":
        """The same models with a newer catalogue.

        Raises ReleaseError unless the newer catalogue begins with the present one.
        """
        known = self.catalogue.item_ids
        if not begins_with(catalogue.item_ids, len(known), digest(known)):
            raise ReleaseError("the new catalogue must begin with the items of the present one")
        return replace(self, catalogue=catalogue)

    @property
    def order(self) -> str:
        """What orders the candidates: `trees`, else the first source that has something to say
        about every item."""
        if self.ranker is not None:
            return "trees"
        return next(part.name for part in self.sources.parts if not part.silent_at_zero)

    @property
    def popularity(self) -> "Recommender":
        """Its recency-popularity alone, which is what every release has to beat."""
        parts = tuple(part for part in self.sources.parts if isinstance(part, Popularity))
        if not parts:
            raise ReleaseError("this release has no popularity")
        return replace(self, sources=replace(self.sources, parts=parts), ranker=None)

    @cached_property
    def attached(self) -> dict[str, Attached]:
        """The sources attached to this catalogue, by name."""
        return {part.name: part.attach(self.catalogue) for part in self.sources.parts}

    @property
    def transformer(self) -> AttachedScorer | None:
        """The transformer attached to this catalogue, or None."""
        attached = self.attached.get(TransformerSource.name)
        return attached.scorer if isinstance(attached, AttachedTransformer) else None

    @cached_property
    def tables(self) -> ItemTables:
        """The catalogue in the form that sources and features need."""
        return ItemTables(self.catalogue)

    @property
    def new_items(self) -> Bools:
        """bool [catalogue]: items that nobody had chosen before training."""
        neighbours = self.sources.get(Neighbours)
        if neighbours is None:
            raise ReleaseError("this release does not say which items were chosen before")
        return neighbours.new_items(len(self.catalogue))

    def eligible(self, requests: Requests, repeats: bool = False) -> Bools:
        """bool [n, catalogue]: items that may be shown; see `eligible.eligible_items`."""
        return eligible_items(self.catalogue, requests, repeats)

    def asked(self, requests: Requests) -> Asked:
        """The requests in the form that the sources use."""
        settings = self.sources.settings
        return Asked(requests, self.tables, settings.recent, settings.half_life)

    def source_scores(self, asked: Asked) -> dict[str, Scores]:
        """The scores of every source for every item, float32 [n, catalogue] each, not masked."""
        return {name: source.scores(asked) for name, source in self.attached.items()}

    def scores_of(self, name: str, requests: Requests, repeats: bool = False) -> Scores:
        """The scores of one source, float32 [n, catalogue], -inf for items that may not be shown.

        Raises ReleaseError if the release does not have the source.
        """
        if name not in self.attached:
            raise ReleaseError(f"this release has no {name}")
        scores = self.attached[name].scores(self.asked(requests))
        return masked(scores, self.eligible(requests, repeats))

    def rank(self, requests: Requests, repeats: bool = False, threads: int = 1) -> Ranked:
        """Retrieve candidates for each request and score them. repeats: the placement's rule."""
        parts = [self._rank(chunk, repeats, threads) for chunk in self._chunks(requests)]
        width = max((part.candidates.shape[1] for part in parts), default=0)
        if not parts:
            return _empty()
        parts = [_widen(part, width) for part in parts]
        return Ranked(
            np.concatenate([part.candidates for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.features for part in parts]),
            np.concatenate([part.sources for part in parts]),
        )

    def describe(self, requests: Requests, candidates: Int32s, repeats: bool = False) -> Float32s:
        """Features of the given candidates (int32 [n, C], padded with -1): float32 [n, C, F]."""
        shape = (*candidates.shape, len(FEATURES))
        features = np.full(shape, np.nan, dtype=np.float32)
        start = 0
        for chunk in self._chunks(requests):
            rows = slice(start, start + len(chunk))
            asked = self.asked(chunk)
            features[rows] = self._features(
                asked, self.source_scores(asked), self.eligible(chunk, repeats), candidates[rows]
            )
            start += len(chunk)
        return features

    def _chunks(self, requests: Requests) -> Iterator[Requests]:
        cells = len(self.catalogue) + len(self.catalogue.older)
        size = max(_CHUNK_ROWS, _CHUNK_CELLS // max(cells, 1))
        if len(requests) <= size:
            if len(requests):
                yield requests
            return
        for start in range(0, len(requests), size):
            yield requests.select(np.arange(start, min(start + size, len(requests))))

    def _rank(self, requests: Requests, repeats: bool, threads: int) -> Ranked:
        eligible = self.eligible(requests, repeats)
        asked = self.asked(requests)
        scores = self.source_scores(asked)
        found = unite(scores, eligible, self.sources.settings.per_source)
        features = self._features(asked, scores, eligible, found.items)
        return Ranked(
            found.items, self._order(scores, found, features, threads), features, found.sources
        )

    def _features(
        self,
        asked: Asked,
        scores: dict[str, Scores],
        eligible: Bools,
        candidates: Int32s,
    ) -> Float32s:
        return rank_features(asked, self._near, scores, eligible, candidates)

    @property
    def _near(self) -> sparse.csr_matrix | None:
        attached = self.attached.get(Neighbours.name)
        return attached.matrix if isinstance(attached, AttachedNeighbours) else None

    def _order(
        self,
        scores: dict[str, Scores],
        found: Candidates,
        features: Float32s,
        threads: int,
    ) -> Scores:
        present = found.items >= 0
        if self.ranker is None:
            dense = np.take_along_axis(scores[self.order], np.maximum(found.items, 0), axis=1)
            return masked(dense, present)
        ordered = np.full(found.items.shape, -np.inf, dtype=np.float32)
        ordered[present] = self.ranker.scores(features[present], threads)
        return ordered


def _widen(part: Ranked, width: int) -> Ranked:
    extra = width - part.candidates.shape[1]
    if extra == 0:
        return part
    pad = ((0, 0), (0, extra))
    return Ranked(
        np.pad(part.candidates, pad, constant_values=-1),
        np.pad(part.scores, pad, constant_values=-np.inf),
        np.pad(part.features, (*pad, (0, 0)), constant_values=np.nan),
        np.pad(part.sources, pad),
    )


def _empty() -> Ranked:
    return Ranked(
        np.zeros((0, 0), dtype=np.int32),
        np.zeros((0, 0), dtype=np.float32),
        np.zeros((0, 0, len(FEATURES)), dtype=np.float32),
        np.zeros((0, 0), dtype=np.uint8),
    )
