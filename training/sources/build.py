"""The sources of a release: settings and arrays, saved as JSON and safetensors."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from base.errors import InputError
from features.items.catalogue import Catalogue
from training.sources.neighbours import Neighbours

FILE = "sources.json"


class ReleaseError(InputError):
    """The files of a release do not fit together, or do not fit the catalogue."""


@dataclass(frozen=True)
class SourceSettings:
    """What serving needs to score candidates exactly as training did."""

    popularity_days: int
    """Window of recency-popularity, tuned on the rank window."""

    per_source: int
    """Candidates taken from each source."""

    recent: int
    """Entries of the history that neighbours and content look at."""

    half_life: float
    """Entries after which the weight of a history entry halves."""

    fresh_days: float
    """An item older than this is not fresh."""

    trained_items: int
    """Length of the catalogue at training."""

    trained_hash: str
    """Of the ids of those items, in order."""


@dataclass(frozen=True)
class Sources:
    """Everything retrieval needs besides the transformer."""

    settings: SourceSettings
    neighbours: Neighbours

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(json.dumps(asdict(self.settings), indent=2) + "\n")
        self.neighbours.save(folder)

    @staticmethod
    def load(folder: Path) -> "Sources":
        """Raises ReleaseError when the settings are not those this code knows."""
        values: dict[str, Any] = json.loads((folder / FILE).read_text())
        try:
            settings = SourceSettings(**values)
        except TypeError as error:
            raise ReleaseError(f"{folder / FILE}: {error}") from None
        return Sources(settings, Neighbours.load(folder))

    def check(self, catalogue: Catalogue) -> None:
        """Raises ReleaseError unless the trained items are the first ones of `catalogue`."""
        settings = self.settings
        if hash_items(catalogue, settings.trained_items) != settings.trained_hash:
            raise ReleaseError(
                f"the catalogue ({len(catalogue)} items) does not begin with the "
                f"{settings.trained_items} items this release was trained on"
            )


def hash_items(catalogue: Catalogue, count: int) -> str:
    """SHA-256 of the first `count` item ids, in order."""
    return hashlib.sha256("\n".join(catalogue.item_ids[:count]).encode()).hexdigest()
