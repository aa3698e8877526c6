"""Training speed of Rondo, a plain padded SASRec and RecTools' SASRec, side by side.

    make bench-speed DATA=path/to/ml-1m.txt LENGTH=200 TARGET=0.165
    python -m benchmarks.speed --data path/to/ml-1m.txt --minutes 5 --set max_epochs=10

All contenders use the same machine, data, width, depth and maximum length. Each runs in its own
process with the same number of threads. Rondo also runs without bf16, as `rondo_float32`. First,
tokens/s are measured in alternating rounds, not counting the first steps. Then a race measures the
training seconds until NDCG@10 of the validation items reaches the target, and tokens/s during the
race. The ratio of the race is the more reliable one. Only training is timed: the clock stops while
one function ranks the validation users of all contenders. A token is a real event that a step
learns to predict, without padding. Results are written after each contender to
`reports/bench-speed.json`.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from base.errors import InputError
from benchmarks import rectools_environment
from benchmarks.child import measured
from benchmarks.contest import ContestEpoch, ContestOutcome, Judge, run
from benchmarks.options import OptionError, add_set, changes, fit_params
from benchmarks.sequences import lazy_unseen, leave_out, read, some
from benchmarks.speed_report import FLOAT32, PADDED, RECTOOLS, RONDO, report, table
from benchmarks.task import VALIDATED, Arrays, Task
from training.transformer.tail import tail_ndcg

MODULES: Final = {
    RONDO: "benchmarks.rondo",
    FLOAT32: "benchmarks.rondo",
    PADDED: "benchmarks.padded",
    RECTOOLS: "benchmarks.rectools_sasrec",
}

DEFAULTS: Final[dict[str, Any]] = {
    "size": "tiny",
    "dropout": 0.1,
    "id_dropout": 0.0,
    "time_bias": False,  # these files have no times
    "max_epochs": 10,
}
"""Values for Rondo's section `fit`. All epochs are run, as the learning rate falls over them."""

COMMON: Final = {"size", "max_length", "patience", "seed"}
"""Keys of section `fit` that --set may not change."""


def judge_of(path: Path, arrays: Path) -> Judge:
    """Write the data to `arrays`, and return a function that judges scores of the validation
    users."""
    sequences = read(path)
    tokens, tail = leave_out(sequences, 2)
    tail = some(tail, VALIDATED)
    allowed = lazy_unseen(tail, sequences.catalogue)
    histories = tail.histories
    Arrays(
        tokens.offsets, tokens.items, histories.offsets, histories.items, sequences.catalogue
    ).write(arrays)
    print(
        f"{len(sequences.lengths)} users, {sequences.catalogue} items, {len(tokens)} events to "
        f"train on, {len(tail)} users ranked",
        flush=True,
    )
    return lambda scores: tail_ndcg(scores, tail, allowed)


def matmul_rates(threads: int) -> dict[str, float]:
    """Floating-point operations per second, by number format."""
    return measured("matrix product", "benchmarks.matmul", str(threads))


def main() -> None:
    options = parse()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-speed-") as folder:
            contest = prepare(options, Path(folder))
            for _ in range(options.rounds):
                contest.round(options.round_seconds)
            contest.race()
    except InputError as error:
        sys.exit(f"bench-speed: {error}")
    print(table(contest.content()))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.speed")
    add = parser.add_argument
    add("--data", type=Path, required=True, help="file of `user item` lines")
    add("--length", type=int, default=200, help="events of a history that a model looks at")
    add("--target", type=float, default=0.165, help="NDCG@10 of the validation items")
    add("--contenders", nargs="+", choices=list(MODULES), default=list(MODULES))
    add("--rounds", type=int, default=3, help="measurements of tokens/s per contender")
    add("--round-seconds", type=float, default=60.0, help="training seconds of one of them")
    add("--minutes", type=float, default=90.0, help="training minutes per contender to the target")
    add("--epochs", type=int, default=200, help="epochs of the SASRecs to the target, at most")
    add("--every", type=int, default=1, help="epochs between two rankings")
    add("--threads", type=int, default=os.cpu_count() or 1)
    add("--seed", type=int, default=1)
    add("--dropout", type=float, default=0.1, help="of the two SASRecs")
    add_set(parser, "Rondo's section `fit`")
    add("--reports", type=Path, default=Path("reports"))
    return parser.parse_args()


def own_settings(texts: list[str], length: int) -> dict[str, Any]:
    """Rondo's section `fit` from DEFAULTS and texts KEY=VALUE. Raises OptionError for bad ones."""
    changed = changes(texts)
    for key in COMMON & set(changed):
        raise OptionError(f"{key} is not for --set: it has its own option or is equal for all")
    fit_params(DEFAULTS | changed | {"max_length": length})
    return DEFAULTS | changed


def prepare(options: argparse.Namespace, folder: Path) -> "Contest":
    """Read the data, create RecTools' environment if it takes part, and time matrix products."""
    if min(options.every, options.epochs, options.threads) < 1:
        raise OptionError("--every, --epochs and --threads must be at least 1")
    task = Task(
        data=str(options.data.resolve()),
        arrays=str(folder / "arrays.npz"),
        folder=str(folder),
        length=options.length,
        threads=options.threads,
        epochs=options.epochs,
        seconds=options.minutes * 60,
        every=options.every,
        seed=options.seed,
        dropout=options.dropout,
        fit=own_settings(options.set, options.length),
    )
    judge = judge_of(options.data, folder / "arrays.npz")
    pythons: dict[str, Path] = {}
    if RECTOOLS in options.contenders:
        home = Path(os.environ.get("RONDO_HOME", ".rondo")).resolve()
        pythons[RECTOOLS] = rectools_environment.make(home / "rectools")
    return Contest(
        task,
        judge,
        options.target,
        options.contenders,
        pythons,
        matmul_rates(options.threads),
        options.reports / "bench-speed.json",
    )


@dataclass
class Contest:
    """The contenders, their task and the results so far, written to `path` after each process."""

    task: Task
    judge: Judge
    target: float
    names: list[str]
    pythons: dict[str, Path]
    rates: dict[str, float]
    path: Path
    rounds: dict[str, list[ContestOutcome]] = field(default_factory=dict)
    races: dict[str, ContestOutcome] = field(default_factory=dict)

    def round(self, seconds: float) -> None:
        """Measure tokens/s of each contender in turn."""
        for name in self.names:
            outcome = self.start(name, replace(self.task, seconds=seconds, every=0))
            self.rounds.setdefault(name, []).append(outcome)
            self.save()
            print(f"{name}: {outcome.tokens_per_second:,.0f} tokens/s", flush=True)

    def race(self) -> None:
        """Run each contender until it reaches the target or one of its limits."""
        for name in self.names:
            self.races[name] = self.start(name, self.task, printer(name))
            self.save()

    def start(
        self, name: str, task: Task, on_epoch: Callable[[ContestEpoch], None] = lambda _: None
    ) -> ContestOutcome:
        """Run one process of a contender, in its own folder."""
        with tempfile.TemporaryDirectory(dir=self.task.folder) as folder:
            precision = "32-true" if name == FLOAT32 else task.precision
            own = replace(task, folder=folder, precision=precision)
            return run(
                MODULES[name], own, self.judge, self.target, self.pythons.get(name), on_epoch
            )

    def content(self) -> dict[str, Any]:
        """The content of the report so far."""
        common = ("data", "length", "threads", "seed", "every")
        sasrec = ("dropout", "learning_rate", "batch_users")
        return report(self.rounds, self.races, self.rates, self.target) | {
            "settings": {
                **{name: getattr(self.task, name) for name in common},
                "sasrec": {name: getattr(self.task, name) for name in sasrec},
                "rondo": self.task.fit,
            }
        }

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(self.content(), indent=2) + "\n")


def printer(name: str) -> Callable[[ContestEpoch], None]:
    """A function that prints a contender's epochs as they come."""

    def tell(epoch: ContestEpoch) -> None:
        ndcg = "not ranked" if epoch.ndcg is None else f"ndcg@10 {epoch.ndcg:.4f}"
        print(f"{name}: epoch {epoch.number}, {epoch.seconds:.1f} s, {ndcg}", flush=True)

    return tell


if __name__ == "__main__":
    main()
