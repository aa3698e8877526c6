"""The measurement of a trial: ndcg@10 on validation moments, with the real trainers.

Sections `fit` and `trees` each keep the newest part of their own window out of training. Nothing
here reads the judge window, and `fit` does not read the rank window either.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from base import code
from base.errors import InputError
from features.items.catalogue import Catalogue
from features.splits.windowing import Rules
from features.splits.windows import Windows
from training import trees
from training.transformer import trainer
from training.transformer.config import RunOptions, TransformerParams
from training.transformer.loggers import open_logger
from training.transformer.tail import candidates, split_tail
from training.transformer.training import INPUTS, read_tokens
from training.tuning.space import Section, Space, Values

FILES: Final[dict[Section, tuple[str, ...]]] = {"fit": INPUTS, "trees": ("rank.parquet",)}
STAGES: Final[dict[Section, str]] = {"fit": "training.fit", "trees": "training.trees"}


@dataclass(frozen=True)
class Outcome:
    """The result of a trial.

    value: validation ndcg@10; curve: the same after each epoch, empty if there are no epochs.
    """

    value: float
    curve: tuple[float, ...] = ()


@dataclass(frozen=True)
class Task:
    """What trials run on. Small enough to send to a process.

    data: folder with the files that the section's stage reads; options: for one trial; home: the
    study's folder, for checkpoints; logs: folder of the learning curves of all runs.
    """

    space: Space
    data: Path
    options: RunOptions
    home: Path
    logs: Path


#: Runs a trial with the given values and name. An interrupted trial resumes by its name.
Objective = Callable[[Values, str], Outcome]


def objective(task: Task) -> Objective:
    """Read the data once, for any number of trials. Raises InputError if it is unusable."""
    return _fit(task) if task.space.section == "fit" else _trees(task)


def fingerprint(section: Section, data: Path) -> str:
    """Hex digest of the data and of the measuring code. Values with equal digests are comparable.

    Raises InputError if a file is missing.
    """
    digest = sha256()
    for path in (data / name for name in FILES[section]):
        if not path.exists():
            stage = "split" if section == "fit" else "candidates"
            raise InputError(f"{path} does not exist: run `dvc repro {stage}` first")
        digest.update(sha256(path.read_bytes()).digest())
    # This module uses code of both stages, but only the section's own stage counts.
    own = Path(__file__).resolve().relative_to(code.SOURCE).as_posix()
    files = {own, *code.deciding([STAGES[section]])}
    digest.update(code.digest(sorted(files)).encode())
    return digest.hexdigest()


def _fit(task: Task) -> Objective:
    base: TransformerParams = task.space.params({})
    repeats = Rules.read(task.data / "rules.json").repeats
    catalogue = Catalogue.from_table(pq.read_table(task.data / "fit_items.parquet"))
    until = Windows.read(task.data / "windows.json").fit_end
    tokens, organic = read_tokens(task.data, until, repeats)
    train, tail = split_tail(tokens, organic, base.tail_share, base.tail_queries)
    allowed = candidates(tail, catalogue.created_at, repeats)

    def run(values: Values, name: str) -> Outcome:
        params = task.space.params(values)
        checkpoints = task.home / "checkpoints" / name
        title = f"{task.home.name}-{name}"
        with open_logger(task.options.logger, task.logs, title) as logger:
            fitted = trainer.fit(
                train, tail, allowed, catalogue.text, params, task.options, checkpoints, logger
            )
        shutil.rmtree(checkpoints)
        return Outcome(fitted.ndcg[fitted.best], tuple(fitted.ndcg))

    return run


def _trees(task: Task) -> Objective:
    table = pq.read_table(task.data / "rank.parquet")

    def run(values: Values, name: str) -> Outcome:  # noqa: ARG001
        _, metrics = trees.fit(table, task.space.params(values))
        if "tail_ndcg@10" not in metrics:
            raise InputError("the rank window is too short to keep a tail of it: ingest more data")
        return Outcome(metrics["tail_ndcg@10"])

    return run
