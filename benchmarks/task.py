"""The task of a contender in the speed benchmark.

Each contender is a process, `python -m benchmarks.<name> task.json`, that reports by
`benchmarks.progress`. Imports only numpy, so that a contender can run in another environment.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from base.arrays import Int32s, Int64s

EMBEDDING_SIZE: Final = 64
NUM_LAYERS: Final = 2
NUM_HEADS: Final = 2

VALIDATED: Final = 2048
"""Largest number of users ranked after an epoch."""

WARM: Final = 5
"""Steps of a round before its clock starts. The first steps compile kernels and fill memory."""


@dataclass(frozen=True)
class Task:
    """The task. Fields apply to all contenders, unless they say otherwise."""

    data: str
    """File of `user item` lines."""

    arrays: str
    """File for `Arrays.read`."""

    folder: str
    """Folder for the contender's files, empty at the start."""

    length: int
    """How many events of a history the model uses."""

    threads: int
    """CPU threads."""

    epochs: int
    """Largest number of passes over the data, for the two SASRecs."""

    seconds: float
    """A contender stops after this many training seconds, not counting ranking."""

    fit: dict[str, Any]
    """For Rondo: values of its section `fit`."""

    precision: Literal["auto", "32-true"] = "auto"
    """For Rondo. The two SASRecs compute in float32."""

    every: int = 1
    """Epochs between rankings of the validation users.

    0: a round that only measures tokens/s and may end within an epoch.
    """

    seed: int = 1
    """Seed of the initial weights, the order of batches and dropout."""

    dropout: float = 0.1
    """For the two SASRecs."""

    learning_rate: float = 1e-3
    """For the two SASRecs."""

    batch_users: int = 128
    """Sequences per step, for the two SASRecs."""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def read(path: Path) -> "Task":
        return Task(**json.loads(path.read_text()))


@dataclass(frozen=True)
class Arrays:
    """The data as flat arrays of item numbers from 0, oldest first for each user.

    offsets: int64 [users + 1] and items: int32, the training data; asked_offsets: int64 [asked + 1]
    and asked_items: int32, the histories whose next item is to be ranked; catalogue: number of
    items.
    """

    offsets: Int64s
    items: Int32s
    asked_offsets: Int64s
    asked_items: Int32s
    catalogue: int

    def write(self, path: Path) -> None:
        np.savez(
            path,
            offsets=self.offsets,
            items=self.items,
            asked_offsets=self.asked_offsets,
            asked_items=self.asked_items,
            catalogue=np.asarray(self.catalogue),
        )

    @staticmethod
    def read(path: Path) -> "Arrays":
        with np.load(path) as file:
            values = {name: file[name] for name in file.files}
        return Arrays(**values | {"catalogue": int(values["catalogue"])})

    def sequences(self, length: int) -> list[Int32s]:
        """The newest `length` + 1 items of each user with at least two.

        Targets are the inputs shifted by one.
        """
        rows = np.split(self.items, self.offsets[1:-1])
        return [row[-length - 1 :] for row in rows if len(row) > 1]

    def asked(self, length: int) -> list[Int32s]:
        """The newest `length` items of each history to be ranked."""
        return [row[-length:] for row in np.split(self.asked_items, self.asked_offsets[1:-1])]
