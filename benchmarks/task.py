"""What a contender of the speed benchmark is asked to do.

Each is a process of its own, `python -m benchmarks.<name> task.json`, that tells about itself by
`benchmarks.progress`. Imports no more than numpy, so that one can run in another environment.
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
"""At most this many users are ranked after an epoch."""

WARM: Final = 5
"""Steps of a round before its clock starts: the first ones build kernels and fill memory."""


@dataclass(frozen=True)
class Task:
    """The same for all contenders, where nothing else is said."""

    data: str
    """File of `user item` lines."""

    arrays: str
    """What `Arrays` reads."""

    folder: str
    """Where the contender may write; empty at its start."""

    length: int
    """Events of a history that the model looks at."""

    threads: int
    """CPU threads."""

    epochs: int
    """Passes over the data of the two SASRecs, at most."""

    seconds: float
    """Training seconds after which a contender stops, ranking not counted."""

    fit: dict[str, Any]
    """Of Rondo: values of its section `fit`."""

    precision: Literal["auto", "32-true"] = "auto"
    """Of Rondo; the two SASRecs compute in float32."""

    every: int = 1
    """Epochs between two rankings of the validation users; 0: a round that measures tokens/s only
    and may end within an epoch."""

    seed: int = 1
    """Initial weights, order of batches, dropout."""

    dropout: float = 0.1
    """Of the two SASRecs."""

    learning_rate: float = 1e-3
    """Of the two SASRecs."""

    batch_users: int = 128
    """Sequences in a step of the two SASRecs."""

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))

    @staticmethod
    def read(path: Path) -> "Task":
        return Task(**json.loads(path.read_text()))


@dataclass(frozen=True)
class Arrays:
    """The data as flat arrays of item numbers from 0, each user's oldest first.

    offsets: int64 [users + 1], items: int32, what is trained on; asked_offsets: int64 [asked + 1],
    asked_items: int32, the histories whose next item is to be ranked; catalogue: number of items.
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
        """The newest `length` + 1 items of each user who has two: inputs, and targets one later."""
        rows = np.split(self.items, self.offsets[1:-1])
        return [row[-length - 1 :] for row in rows if len(row) > 1]

    def asked(self, length: int) -> list[Int32s]:
        """The newest `length` items of each history to be ranked."""
        return [row[-length:] for row in np.split(self.asked_items, self.asked_offsets[1:-1])]
