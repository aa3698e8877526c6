"""The sources of a release: `sources.json`, and beside it what each source saved."""

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
#: What the first releases hold: they did not say, and kept two numbers in `sources.json`.
FIRST: Final = ("neighbours", "content", "popularity", "fresh")

S = TypeVar("S", bound=Source)


@dataclass(frozen=True)
class SourceSettings:
    """What all sources share, so that serving scores candidates exactly as training did."""

    per_source: int
    """Candidates taken from each source."""

    recent: int
    """Entries of the history that neighbours and content look at."""

    half_life: float
    """Entries after which the weight of a history entry halves."""

    trained_items: int
    """Length of the catalogue at training."""

    trained_hash: str
    """Of the ids of those items, in order."""

    @staticmethod
    def of(
        catalogue: Catalogue, trained: int, *, per_source: int, recent: int, half_life: float
    ) -> "SourceSettings":
        """Of sources trained on the first `trained` items of `catalogue`."""
        known = digest(catalogue.item_ids[:trained], BETWEEN_IN_SOURCES)
        return SourceSettings(per_source, recent, half_life, trained, known)


@dataclass(frozen=True)
class Sources:
    """Fitted sources, in the order of SOURCES; one that a release lacks is left out."""

    settings: SourceSettings
    parts: tuple[Source, ...]

    def get(self, kind: type[S]) -> S | None:
        """The source of one kind, where it is there."""
        return next((part for part in self.parts if isinstance(part, kind)), None)

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        here = [part.name for part in self.parts if not isinstance(part, TransformerSource)]
        content = asdict(self.settings) | {"sources": here}
        (folder / FILE).write_text(json.dumps(content, indent=2) + "\n")
        for part in self.parts:
            part.save(folder)

    @staticmethod
    def load(folder: Path, transformer: Path | None = None) -> "Sources":
        """From the folders `sources/` and `transformer/` of a release; the second need not exist.

        Raises ReleaseError when settings or sources are not those this code knows.
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
        """Raises ReleaseError unless the trained items are the first ones of `catalogue`."""
        size, known = self.settings.trained_items, self.settings.trained_hash
        if not begins_with(catalogue.item_ids, size, known, BETWEEN_IN_SOURCES):
            raise ReleaseError(
                f"the catalogue ({len(catalogue)} items) does not begin with the "
                f"{size} items this release was trained on"
            )


def _first_form(content: dict[str, Any]) -> dict[str, Source]:
    """Takes out of `content` the numbers of sources that had no file of their own yet."""
    if "popularity_days" not in content or "fresh_days" not in content:
        return {}
    return {
        Popularity.name: Popularity(content.pop("popularity_days")),
        Fresh.name: Fresh(content.pop("fresh_days")),
    }
