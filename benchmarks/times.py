"""The effect of time intervals in the attention bias, on ratings with timestamps.

    make bench-times DATA=path/to/u.data SEEDS=3
    python -m benchmarks.times --data path/to/ratings.csv --set size=small

Uses a global time split: models are trained on the older events and rank the newest tenth, each
moment from its user's strictly earlier events. The same model is trained with and without
`time_bias`, with the same seeds, and differences are paired by user. `reports/bench-times.json` is
written after each seed.
"""

import argparse
import dataclasses
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv

from base.arrays import Bools
from base.errors import InputError
from benchmarks.options import add_set, changes, fit_params
from benchmarks.sequences import SequencesError
from features.schema import EVENT_CODES, SECOND, EventType
from training.bootstrap import Interval, PerUser, interval
from training.metrics.lists import against_ties, top_lists
from training.metrics.ndcg import ndcg
from training.transformer import checkpoints, trainer
from training.transformer.config import RunOptions, TransformerParams
from training.transformer.data import Tokens, tokens_from
from training.transformer.tail import Tail, candidates, popularity, split_tail

TESTED = 0.1
"""Newest share of the events, which is ranked."""

QUERIES = 5000
K = 10
DEFAULTS: dict[str, Any] = {
    "size": "tiny",
    "max_epochs": 40,
    "patience": 5,
    "max_length": 200,
    "id_dropout": 0.0,
}


def read(path: Path) -> tuple[Tokens, int]:
    """(events by user and time, number of items) of `user item rating timestamp` lines.

    Tab-separated without a header, or comma-separated with one; timestamps in s. Raises
    SequencesError for any other file.
    """
    names = ["user", "item", "rating", "timestamp"]
    headed = path.suffix == ".csv"
    try:
        table = csv.read_csv(
            path,
            csv.ReadOptions(column_names=names, skip_rows=int(headed)),
            csv.ParseOptions(delimiter="," if headed else "\t"),
        )
        user, item = (
            np.unique(table[name].to_numpy(), return_inverse=True)[1].astype(np.int32)
            for name in ("user", "item")
        )
        moment = table["timestamp"].to_numpy().astype(np.int64) * SECOND
    except (pa.ArrowInvalid, FileNotFoundError, ValueError) as error:
        raise SequencesError(f"{path}: not `user item rating timestamp` lines: {error}") from None
    order = np.lexsort((item, moment, user))
    types = np.full(len(user), EVENT_CODES[EventType.RATING], dtype=np.int8)
    tokens = tokens_from(user[order], item[order], types, moment[order], repeats=False)
    return tokens, int(item.max()) + 1


@dataclasses.dataclass(frozen=True)
class Split:
    """Training events, the moments that stop the training, and the moments to judge by."""

    train: Tokens
    tail: Tail
    test: Tail
    catalogue: int

    @staticmethod
    def of(tokens: Tokens, catalogue: int) -> "Split":
        known, test = split_tail(tokens, np.ones(len(tokens), dtype=bool), TESTED, QUERIES)
        train, tail = split_tail(known, np.ones(len(known), dtype=bool), 0.05, 2000)
        return Split(train, tail, test, catalogue)

    def allowed(self, tail: Tail) -> Bools:
        return candidates(tail, np.zeros(self.catalogue, dtype=np.int64), repeats=False)


def run(split: Split, params: TransformerParams, options: RunOptions, home: Path) -> PerUser:
    """ndcg@10 of each test query: float64 [queries]."""
    text = np.zeros((split.catalogue, 1), dtype=np.float32)
    fitted = trainer.fit(
        split.train, split.tail, split.allowed(split.tail), text, params, options, home, False
    )
    shutil.rmtree(home)
    scores = fitted.attach(text).scores(split.test.histories, split.test.timestamps)
    scores = np.where(split.allowed(split.test), scores, np.float32(-np.inf))
    return ndcg(top_lists(against_ties(scores, split.test.targets), K), split.test.targets)


def report(
    data: Path, split: Split, runs: dict[str, list[PerUser]], baseline: float, seconds: float
) -> dict[str, Any]:
    """The content of `reports/bench-times.json`: means over seeds, intervals over users."""
    users = split.test.users
    means = {name: np.mean(values, axis=0) for name, values in runs.items()}
    return {
        "data": str(data),
        "users": len(np.unique(users)),
        "queries": len(users),
        "seeds": len(runs["with"]),
        "popularity_ndcg@10": baseline,
        **{
            f"{name}_ndcg@10": {
                "runs": [interval(run, users, seed=1).mean for run in runs[name]],
                **interval(means[name], users, seed=1).plain(),
            }
            for name in runs
        },
        "difference": interval(means["with"] - means["without"], users, seed=1).plain(),
        "seconds": round(seconds, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.times")
    parser.add_argument("--data", type=Path, required=True, help="u.data or ratings.csv")
    parser.add_argument("--seeds", type=int, default=3)
    add_set(parser)
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error("--seeds must be at least 1")
    path = arguments.reports / "bench-times.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    runs: dict[str, list[PerUser]] = {"without": [], "with": []}
    began = time.perf_counter()
    options = RunOptions(logger="none")
    try:
        tokens, catalogue = read(arguments.data)
        split = Split.of(tokens, catalogue)
        baseline = popularity(tokens, split.test, catalogue, split.allowed(split.test))
        print(f"{len(tokens)} events, {len(split.test)} moments of the newest tenth ranked; "
              f"recency-popularity {baseline:.4f}")  # fmt: skip
        for seed in range(1, arguments.seeds + 1):
            for name in runs:
                values = (
                    DEFAULTS | changes(arguments.set) | {"seed": seed, "time_bias": name == "with"}
                )
                params = fit_params(values)
                home = checkpoints.folder(arguments.reports, [arguments.data], params, options)
                runs[name].append(run(split, params, options, home))
            seconds = time.perf_counter() - began
            content = report(arguments.data, split, runs, baseline, seconds)
            path.write_text(json.dumps(content, indent=2) + "\n")
            told = (f"{name} {content[f'{name}_ndcg@10']['runs'][-1]:.4f}" for name in runs)
            print(f"seed {seed}: ndcg@10 {', '.join(told)} the time bias")
    except InputError as error:
        sys.exit(f"bench-times: {error}")
    print(f"with - without: {Interval.of(content['difference'])} over users, "
          f"{len(runs['with'])} seeds, {seconds:.0f} s")  # fmt: skip


if __name__ == "__main__":
    main()
