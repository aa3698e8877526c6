"""The sources of a release: `sources.json` and the files that each source saved."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from features.items.catalogue import Catalogue
from features.items.identity import BETWEEN_IN_SOURCES, begins_with, digest
from training.sources.all import SOURCES
from training.sources.fresh import Fresh
from training.sources.popularity import Popularity
from training.sources.source import ReleaseError, Source
from training.sources.transformer import TransformerSource

FILE: Final = "sources.json"
#: The sources of the first releases, which did not list them and kept two numbers in
#: `sources.json`.
FIRST: Final = ("neighbours", "content", "popularity", "fresh")

S = TypeVar("S", bound=Source)


@dataclass(frozen=True)
class SourceSettings:
    """Settings shared by all sources, so that serving scores candidates exactly as training did."""

    per_source: int
    """Candidates taken from each source."""

    recent: int
    """Newest entries of a history that the sources neighbours and content use."""

    half_life: float
    """The weight of a history entry halves after this many newer entries."""

    trained_items: int
    """Number of items in the catalogue at training."""

    trained_hash: str
    """Digest of the ids of those items, in order."""

    @staticmethod
    def of(
        catalogue: Catalogue, trained: int, *, per_source: int, recent: int, half_life: float
    ) -> "SourceSettings":
        """Settings of sources trained on the first `trained` items of `catalogue`."""
        known = digest(catalogue.item_ids[:trained], BETWEEN_IN_SOURCES)
        return SourceSettings(per_source, recent, half_life, trained, known)


@dataclass(frozen=True)
class Sources:
    """Fitted sources, in the order of SOURCES. Sources that a release lacks are left out."""

    settings: SourceSettings
    parts: tuple[Source, ...]

    def get(self, kind: type[S]) -> S | None:
        """The source of class `kind`, or None."""
        return next((part for part in self.parts if isinstance(part, kind)), None)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        here = [part.name for part in self.parts if not isinstance(part, TransformerSource)]
        content = asdict(self.settings) | {"sources": here}
        (folder / FILE).write_text(json.dumps(content, indent=2) + "\n")
        for part in self.parts:
            if not isinstance(part, TransformerSource):  # a release has its folder beside this one
                part.save(folder)

    @staticmethod
    def load(folder: Path, transformer: Path | None = None) -> "Sources":
        """Load the folders `sources/` and `transformer/` of a release. The second may be absent.

        Raises ReleaseError if there are settings or sources that this code does not know.
        """
        content: dict[str, Any] = json.loads((folder / FILE).read_text())
        first = _first_form(content)
        names = content.pop("sources", FIRST)
        if unknown := set(names) - {source.name for source in SOURCES}:
            raise ReleaseError(f"{folder / FILE}: unknown sources {', '.join(sorted(unknown))}")
        parts: list[Source] = []
        for source in SOURCES:
            if source is TransformerSource:
                if transformer is not None and transformer.exists():
                    parts.append(source.load(transformer))
            elif source.name in names:
                parts.append(first[source.name] if source.name in first else source.load(folder))
        try:
            return Sources(SourceSettings(**content), tuple(parts))
        except TypeError as error:
            raise ReleaseError(f"{folder / FILE}: {error}") from None

    def check(self, catalogue: Catalogue) -> None:
        """Raise ReleaseError unless `catalogue` begins with the items trained on."""
        size, known = self.settings.trained_items, self.settings.trained_hash
        if not begins_with(catalogue.item_ids, size, known, BETWEEN_IN_SOURCES):
            raise ReleaseError(
                f"the catalogue ({len(catalogue)} items) does not begin with the "
                f"{size} items this release was trained on"
            )


def _first_form(content: dict[str, Any]) -> dict[str, Source]:
    """Remove from `content`, and return, the sources that had no file of their own in the first
    releases."""
    if "popularity_days" not in content or "fresh_days" not in content:
        return {}
    return {
        Popularity.name: Popularity(content.pop("popularity_days")),
        Fresh.name: Fresh(content.pop("fresh_days")),
    }
