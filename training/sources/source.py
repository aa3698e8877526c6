"""What a candidate source is.

Each source is one class in a file of its own in this folder, and a name in `all.SOURCES`;
retrieval, features, the prior, the monotone constraints, evaluation, releases and `dvc.yaml` follow
from what the class says here. It is fitted on what was known before a moment, saved, loaded,
attached to a catalogue that begins with the items it was fitted on, and then scores all of them.
"""

import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, Self

import numpy as np
from safetensors.numpy import load_file, save_file

from base.arrays import Scores
from base.errors import InputError
from features.items.catalogue import Catalogue
from training.sources.asked import Asked
from training.sources.log import Log

#: Bytes that a fit may hold at a time beyond what it reads and returns.
MEMORY: Final = 250_000_000


class ReleaseError(InputError):
    """The files of a release do not fit together, or do not fit the catalogue."""


class Attached(Protocol):
    """A source over one catalogue."""

    def scores(self, asked: Asked) -> Scores:
        """float32 [n, catalogue], higher is better; nothing is masked."""
        ...


@dataclass(frozen=True)
class Source(ABC):
    """A fitted source. Its fields, numbers and arrays, are all that it knows of the log."""

    name: ClassVar[str]

    params: ClassVar[type[Any] | None] = None
    """The class of its section in `params.yaml`, which is called as the source is."""

    stage: ClassVar[str | None] = None
    """The DVC stage that fits it. None: there is nothing to learn, stage `candidates` makes it."""

    tuned: ClassVar[bool] = False
    """Whether it chooses among a few settings by the rank window, from which the trees learn, too.
    Nothing else of a source may depend on what happened after its cut-off."""

    bounded: ClassVar[bool] = False
    """Whether `fit` keeps to `memory`; else what it holds does not grow with the square of
    anything."""

    silent_at_zero: ClassVar[bool] = False
    """Whether a score of 0 says nothing about an item, instead of that it is liked least."""

    scores_new_users: ClassVar[bool] = True
    """Whether it tells items apart for somebody without a history; else all score 0."""

    scores_new_items: ClassVar[bool] = True
    """Whether an item that came after the fit can score; else it scores 0."""

    logits: ClassVar[bool] = False
    """Whether scores are log-probabilities but for a constant: then the trees see the
    log-probability among eligible items, and the prior starts from it instead of the z-score."""

    described: ClassVar[bool] = True
    """Whether score, rank and z-score of a candidate are features of the trees."""

    only_raises: ClassVar[bool] = True
    """Whether a higher score may never lower a candidate (monotone constraint of the trees)."""

    judged: ClassVar[bool] = False
    """Whether `evaluate` judges the source alone, as a system to compare with."""

    @classmethod
    @abstractmethod
    def fit(cls, log: Log, until: int, params: Any, memory: int = MEMORY) -> Self:
        """From what was known before `until`, µs; the same input gives the same source.

        params: an instance of `cls.params`, with a seed where the source draws; memory: about how
        many bytes may be held at a time, for a source whose need would grow with the log.
        """

    @abstractmethod
    def attach(self, catalogue: Catalogue) -> Attached:
        """Ready to score `catalogue`, which begins with the items that the source was fitted on."""

    def save(self, folder: Path) -> None:
        """Numbers as NAME.json, arrays as NAME.safetensors; without fields there is no file."""
        values = {field.name: vars(self)[field.name] for field in fields(self)}
        arrays = {name: v for name, v in values.items() if isinstance(v, np.ndarray)}
        numbers = {name: v for name, v in values.items() if name not in arrays}
        if arrays:
            save_file(arrays, folder / f"{self.name}.safetensors")
        if numbers:
            (folder / f"{self.name}.json").write_text(json.dumps(numbers, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote. Raises ReleaseError when its values are not those this code knows."""
        values: dict[str, Any] = {}
        arrays, numbers = folder / f"{cls.name}.safetensors", folder / f"{cls.name}.json"
        if arrays.exists():
            values |= load_file(arrays)
        if numbers.exists():
            values |= json.loads(numbers.read_text())
        try:
            return cls(**values)
        except TypeError as error:
            raise ReleaseError(f"source {cls.name} in {folder}: {error}") from None
