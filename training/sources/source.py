"""The interface of a candidate source.

Each source is one class in its own file in this folder, plus its name in `all.SOURCES`. Retrieval,
features, the prior, the monotone constraints, evaluation, releases and `dvc.yaml` all follow from
the class's attributes. A source is fitted on what was known before a moment, saved and loaded. It
is then attached to a catalogue that begins with the items it was fitted on, and scores every item
of that catalogue.
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

#: Bytes that a fit may use at a time besides its input and result.
MEMORY: Final = 250_000_000


class ReleaseError(InputError):
    """The files of a release do not fit together, or do not fit the catalogue."""


class Attached(Protocol):
    """A source attached to one catalogue."""

    def scores(self, asked: Asked) -> Scores:
        """float32 [n, catalogue], higher is better; nothing is masked."""
        ...


@dataclass(frozen=True)
class Source(ABC):
    """A fitted source. Its fields (numbers and arrays) hold everything it learned from the log."""

    name: ClassVar[str]

    params: ClassVar[type[Any] | None] = None
    """The dataclass of the source's section in `params.yaml`. The section has the name of
    `stage`, or of the source if there is none."""

    stage: ClassVar[str | None] = None
    """The DVC stage that fits it. None: nothing to learn; stage `candidates` creates it."""

    tuned: ClassVar[bool] = False
    """Whether it chooses among a few settings by the rank window, which the trees learn from too.

    In every other respect, a source must not depend on anything after its cut-off.
    """

    bounded: ClassVar[bool] = False
    """Whether `fit` obeys `memory`.

    If not, its memory must not grow with the square of anything.
    """

    silent_at_zero: ClassVar[bool] = False
    """Whether a score of 0 means "no opinion" about an item, rather than the lowest rank."""

    scores_new_users: ClassVar[bool] = True
    """Whether it distinguishes items for users without a history. If not, all items score 0."""

    scores_new_items: ClassVar[bool] = True
    """Whether items created after the fit can get a score. If not, they score 0."""

    logits: ClassVar[bool] = False
    """Whether scores are log-probabilities up to a constant.

    If so, the trees see the log-probability among eligible items, and the prior starts from it
    instead of the z-score.
    """

    described: ClassVar[bool] = True
    """Whether a candidate's score, rank and z-score are features of the trees."""

    only_raises: ClassVar[bool] = True
    """Whether a higher score may never lower a candidate (a monotone constraint of the trees)."""

    judged: ClassVar[bool] = False
    """Whether `evaluate` also judges the source alone, as a system to compare with."""

    @classmethod
    @abstractmethod
    def fit(cls, log: Log, until: int, params: Any, memory: int = MEMORY) -> Self:
        """Fit on what was known before `until`, µs. The same input gives the same source.

        params: an instance of `cls.params`, with a seed if the source draws random numbers; memory:
        about how many bytes may be used at a time, for sources whose need would grow with the log.
        """

    @abstractmethod
    def attach(self, catalogue: Catalogue) -> Attached:
        """Prepare to score `catalogue`, which begins with the items the source was fitted on."""

    def save(self, folder: Path) -> None:
        """Write numbers to NAME.json and arrays to NAME.safetensors.

        A source without fields writes none.
        """
        values = {field.name: vars(self)[field.name] for field in fields(self)}
        arrays = {name: v for name, v in values.items() if isinstance(v, np.ndarray)}
        numbers = {name: v for name, v in values.items() if name not in arrays}
        if arrays:
            save_file(arrays, folder / f"{self.name}.safetensors")
        if numbers:
            (folder / f"{self.name}.json").write_text(json.dumps(numbers, indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote. Raises ReleaseError for values that this code does not know."""
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
