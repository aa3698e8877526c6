"""Retrieve and rank: one code path for training candidates, judging, serving and valuation.

A smaller system still answers: without a transformer the trees rank what the other sources find;
without trees the transformer's order stands, and without either recency-popularity.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from features.items.catalogue import Catalogue
from features.requests.requests import Requests
from training.metrics.lists import top_lists
from training.rank_features import FEATURES, ItemTables, rank_features
from training.ranker import Ranker
from training.retrieve import Candidates, Scores, eligible_items, masked, unite
from training.sources.build import ReleaseError, Sources
from training.sources.fresh import fresh_scores
from training.sources.popularity import popularity_scores
from training.sources.recent import recent_items
from training.transformer.scorer import AttachedScorer, Scorer

__all__ = ["FEATURES", "Ranked", "Recommender", "ReleaseError"]

_CHUNK_CELLS = 1_000_000


@dataclass(frozen=True)
class Ranked:
    """Ranked candidates of n requests.

    candidates: int32 [n, C], -1 pad; scores: float32 [n, C], -inf pad;
    features: float32 [n, C, len(FEATURES)]; sources: uint8 [n, C], bits of `retrieve.SOURCES`.
    """

    candidates: npt.NDArray[np.int32]
    scores: Scores
    features: npt.NDArray[np.float32]
    sources: npt.NDArray[np.uint8]

    def top(self, k: int) -> npt.NDArray[np.int32]:
        """The k best of each request, int32 [n, k], -1 where there are fewer."""
        return top_lists(self.scores, k, self.candidates)


@dataclass(frozen=True)
class Recommender:
    """The parts of a release, attached to a catalogue."""

    catalogue: Catalogue
    sources: Sources
    scorer: Scorer | None
    ranker: Ranker | None

    @staticmethod
    def load(folder: Path, catalogue: Catalogue) -> "Recommender":
        """From a release folder: `sources/`, and `transformer/`, `trees/` where they exist.

        Raises ReleaseError when the release does not fit the catalogue.
        """
        return Recommender.assemble(
            catalogue, folder / "sources", folder / "transformer", folder / "trees"
        )

    @staticmethod
    def assemble(
        catalogue: Catalogue, sources: Path, transformer: Path | None, trees: Path | None
    ) -> "Recommender":
        """From the folders of its parts; a part that is None or absent is left out."""
        parts = Sources.load(sources)
        parts.check(catalogue)
        has_transformer = transformer is not None and transformer.exists()
        has_trees = trees is not None and trees.exists()
        return Recommender(
            catalogue,
            parts,
            Scorer.load(transformer) if transformer is not None and has_transformer else None,
            Ranker.load(trees) if trees is not None and has_trees else None,
        )

    def with_catalogue(self, catalogue: Catalogue) -> "Recommender":
        """The same models over a newer catalogue.

        Raises ReleaseError unless the present catalogue is a prefix of it.
        """
        known = self.catalogue.item_ids
        if not np.array_equal(known, catalogue.item_ids[: len(known)]):
            raise ReleaseError("the new catalogue must begin with the items of the present one")
        return replace(self, catalogue=catalogue)

    @property
    def order(self) -> Literal["trees", "transformer", "popularity"]:
        """What decides the order of the candidates."""
        if self.ranker is not None:
            return "trees"
        return "transformer" if self.scorer is not None else "popularity"

    @cached_property
    def attached(self) -> AttachedScorer | None:
        """The transformer over this catalogue."""
        return None if self.scorer is None else self.scorer.attach(self.catalogue)

    @cached_property
    def tables(self) -> ItemTables:
        """The catalogue as sources and features need it."""
        return ItemTables(
            self.catalogue,
            self.sources.neighbours.matrix(len(self.catalogue)),
        )

    def eligible(self, requests: Requests, repeats: bool = False) -> npt.NDArray[np.bool_]:
        """bool [n, catalogue]: what may be shown; see `retrieve.eligible_items`."""
        return eligible_items(self.catalogue, requests, repeats)

    def recent(self, requests: Requests) -> sparse.csr_matrix:
        """float32 sparse [n, catalogue]: what each history was about lately."""
        settings = self.sources.settings
        return recent_items(
            requests.histories, settings.recent, settings.half_life, len(self.catalogue)
        )

    def source_scores(self, requests: Requests, recent: sparse.csr_matrix) -> dict[str, Scores]:
        """Every source's score of every item, float32 [n, catalogue] each, nothing masked.

        recent: `self.recent(requests)`.
        """
        settings, tables = self.sources.settings, self.tables
        created_at = self.catalogue.at(requests.timestamps).created_at
        seen = self.catalogue.seen(requests.timestamps)
        liked = np.asarray(seen.weights(recent) @ self.catalogue.all_text)
        scores = {
            "neighbours": (recent @ tables.neighbours).toarray(),
            "content": seen.scores(liked @ tables.text_columns),
            "popularity": popularity_scores(requests, settings.popularity_days),
            "fresh": fresh_scores(created_at, requests.timestamps, settings.fresh_days),
        }
        if self.attached is not None:
            scores["transformer"] = self.attached.scores(
                requests.histories, requests.timestamps, seen
            )
        return scores

    def rank(self, requests: Requests, repeats: bool = False, threads: int = 1) -> Ranked:
        """Retrieve candidates for each request and score them; `repeats`: the placement's rule."""
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

    def describe(
        self, requests: Requests, candidates: npt.NDArray[np.int32], repeats: bool = False
    ) -> npt.NDArray[np.float32]:
        """Features of given candidates, int32 [n, C] with -1 pad: float32 [n, C, F]."""
        shape = (*candidates.shape, len(FEATURES))
        features = np.full(shape, np.nan, dtype=np.float32)
        start = 0
        for chunk in self._chunks(requests):
            rows = slice(start, start + len(chunk))
            recent = self.recent(chunk)
            features[rows] = rank_features(
                self.tables,
                chunk,
                recent,
                self.source_scores(chunk, recent),
                self.eligible(chunk, repeats),
                candidates[rows],
            )
            start += len(chunk)
        return features

    def transformer_scores(self, requests: Requests, repeats: bool = False) -> Scores:
        """float32 [n, catalogue], -inf where an item may not be shown. Raises ReleaseError without
        a transformer."""
        if self.attached is None:
            raise ReleaseError("this release has no transformer")
        seen = self.catalogue.seen(requests.timestamps)
        return masked(
            self.attached.scores(requests.histories, requests.timestamps, seen),
            self.eligible(requests, repeats),
        )

    def popularity_scores(self, requests: Requests, repeats: bool = False) -> Scores:
        """float32 [n, catalogue], -inf where an item may not be shown."""
        scores = popularity_scores(requests, self.sources.settings.popularity_days)
        return masked(scores, self.eligible(requests, repeats))

    def neighbour_scores(self, requests: Requests, repeats: bool = False) -> Scores:
        """float32 [n, catalogue], -inf where an item may not be shown."""
        scores = (self.recent(requests) @ self.tables.neighbours).toarray()
        return masked(scores, self.eligible(requests, repeats))

    def _chunks(self, requests: Requests) -> Iterator[Requests]:
        cells = len(self.catalogue) + len(self.catalogue.older)
        size = max(1, _CHUNK_CELLS // max(cells, 1))
        if len(requests) <= size:
            if len(requests):
                yield requests
            return
        for start in range(0, len(requests), size):
            yield requests.select(np.arange(start, min(start + size, len(requests))))

    def _rank(self, requests: Requests, repeats: bool, threads: int) -> Ranked:
        eligible = self.eligible(requests, repeats)
        recent = self.recent(requests)
        scores = self.source_scores(requests, recent)
        found = unite(scores, eligible, self.sources.settings.per_source)
        features = rank_features(self.tables, requests, recent, scores, eligible, found.items)
        return Ranked(
            found.items, self._order(scores, found, features, threads), features, found.sources
        )

    def _order(
        self,
        scores: dict[str, Scores],
        found: Candidates,
        features: npt.NDArray[np.float32],
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
