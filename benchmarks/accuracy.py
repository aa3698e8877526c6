"""Accuracy on sequences by the published protocol: leave-one-out, full ranking, without seen items.

    make bench-accuracy DATA=path/to/ml-1m.txt SEEDS=3
    python -m benchmarks.accuracy --data path/to/sports.txt --length 50 --set size=small
    python -m benchmarks.accuracy --data path/to/sports.txt --rolling 2 --set dropout=0.4

The model is not trained on a user's last two items. The test query's history includes the
validation item, and all items of the history count as seen. Results are written after each seed to
`reports/bench-accuracy.json`. Results of `--rolling`, which serves to choose a recipe without
looking at test items, go to `reports/rolling/`.
"""

import argparse
import dataclasses
import json
import logging
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats

from base.errors import InputError
from benchmarks.options import add_set, changes, fit_params, run_options
from benchmarks.sequences import Sequences, lazy_unseen, read, some, split, unseen
from training.bootstrap import UNKNOWN, Interval, PerUser, interval
from training.metrics.lists import against_ties, top_lists
from training.metrics.ndcg import ndcg
from training.metrics.recall import recall
from training.transformer import checkpoints, trainer
from training.transformer.config import RunOptions, TransformerParams
from training.transformer.data import chunks
from training.transformer.model import STARTS, Transformer
from training.transformer.precision import native
from training.transformer.recipe import Recipe
from training.transformer.scorer import encode
from training.transformer.tail import CHUNK_SCORES, Tail

K = 10
STOPPING_USERS = 8192
"""Number of users whose validation item decides when to stop."""

Values = dict[str, PerUser]

METRICS = {f"ndcg@{K}": ndcg, f"hr@{K}": recall}
DEFAULTS: dict[str, Any] = {
    "size": "small",
    "max_epochs": 24,
    "patience": 10,
    "max_length": 200,
    "id_dropout": 0.0,
    "time_bias": False,  # these files have no times
}


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of one seed: metrics by user, float64 [users] each."""

    values: Values
    seconds: float
    epochs: int
    best_epoch: int
    parameters: int
    recipe: Recipe


def run(
    sequences: Sequences,
    params: TransformerParams,
    options: RunOptions,
    home: Path,
    rolling: int = 0,
) -> Result:
    """Train on all but the last two items of each user, and rank the last item.

    rolling: rank the last items before it instead (`sequences.split`), averaged by user. home:
    folder for the checkpoint, removed at the end. If an interrupted run continues, `seconds` counts
    from then on.
    """
    began = time.perf_counter()
    train, validation, judged = split(sequences, rolling)
    validation = some(validation, STOPPING_USERS)
    text = np.zeros((sequences.catalogue, 1), dtype=np.float32)  # these files have no content
    allowed = lazy_unseen(validation, sequences.catalogue)
    fitted = trainer.fit(train, validation, allowed, text, params, options, home, False)
    shutil.rmtree(home)
    scorer = fitted.attach(text)
    values = [judge(scorer.model, scorer.table, tail, sequences.catalogue) for tail in judged]
    return Result(
        {name: np.mean([value[name] for value in values], axis=0) for name in METRICS},
        time.perf_counter() - began,
        len(fitted.ndcg),
        fitted.best + 1,
        fitted.parameters,
        fitted.recipe,
    )


def judge(model: Transformer, table: torch.Tensor, tail: Tail, catalogue: int) -> Values:
    """METRICS of every query. Ties count against the model."""
    parts: dict[str, list[PerUser]] = {name: [] for name in METRICS}
    for rows in chunks(len(tail), max(1, CHUNK_SCORES // catalogue)):
        chunk = tail.part(rows)
        states = encode(model, table, chunk.histories, chunk.timestamps)
        scores = (states @ table[STARTS:].T).float().numpy()
        scores = np.where(unseen(chunk, catalogue), scores, np.float32(-np.inf))
        lists = top_lists(against_ties(scores, chunk.targets), K)
        for name, metric in METRICS.items():
            parts[name].append(metric(lists, chunk.targets))
    return {name: np.concatenate(values) for name, values in parts.items()}


def over_seeds(runs: list[float], confidence: float = 0.95) -> Interval:
    """Mean over the seeds with Student's interval. The bounds are unknown for a single seed."""
    mean = float(np.mean(runs))
    if len(runs) < 2:
        return dataclasses.replace(UNKNOWN, mean=mean)
    half = float(stats.t.ppf(0.5 + confidence / 2, len(runs) - 1) * stats.sem(runs))
    return Interval(mean, mean - half, mean + half)


def report(data: Path, precision: str, results: list[Result]) -> dict[str, Any]:
    """The content of `reports/bench-accuracy.json`: values over seeds, and separately over users.

    seconds: mean per seed.
    """
    metrics: dict[str, Any] = {}
    for name in METRICS:
        runs = [float(result.values[name].mean()) for result in results]
        by_user = np.mean([result.values[name] for result in results], axis=0)
        metrics[name] = over_seeds(runs).plain() | {
            "runs": runs,
            "users": interval(by_user, np.arange(len(by_user)), seed=1).plain(),
        }
    return {
        "data": str(data),
        "seeds": len(results),
        **metrics,
        "seconds": round(float(np.mean([result.seconds for result in results])), 1),
        "seconds_by_seed": [round(result.seconds, 1) for result in results],
        "epochs": [result.epochs for result in results],
        "best_epochs": [result.best_epoch for result in results],
        "parameters": results[0].parameters,
        "recipe": {k: v for k, v in vars(results[0].recipe).items() if k != "seed"},
        "precision": precision,
    }


def _told(found: dict[str, Any]) -> str:
    bounds = "" if found["low"] is None else f" [{found['low']:.4f}, {found['high']:.4f}]"
    return f"{found['mean']:.4f}{bounds}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy")
    parser.add_argument("--data", type=Path, required=True, help="file of `user item` lines")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--length", type=int, default=DEFAULTS["max_length"])
    parser.add_argument(
        "--rolling",
        type=int,
        default=0,
        metavar="N",
        help="rank the N items before the test item, to choose a recipe",
    )
    add_set(parser)
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error("--seeds must be at least 1")
    if arguments.rolling < 0:
        parser.error("--rolling must be at least 0")
    reports = arguments.reports / "rolling" if arguments.rolling else arguments.reports
    path = reports / "bench-accuracy.json"
    results: list[Result] = []
    logging.basicConfig(format="%(message)s", stream=sys.stdout)
    logging.getLogger("rondo.fit").setLevel(logging.INFO)
    options = run_options()
    try:
        chosen = DEFAULTS | {"max_length": arguments.length} | changes(arguments.set)
        sequences = read(arguments.data)
        print(f"{len(sequences.lengths)} users, {sequences.catalogue} items, "
              f"{len(sequences.items)} events in {arguments.data}")  # fmt: skip
        for seed in range(1, arguments.seeds + 1):
            params = fit_params(chosen | {"seed": seed})
            home = checkpoints.folder(reports, [arguments.data], params, options)
            results.append(run(sequences, params, options, home, arguments.rolling))
            content = report(arguments.data, native(options), results)
            content["rolling"] = arguments.rolling
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content, indent=2) + "\n")
            told = ", ".join(f"{name} {content[name]['runs'][-1]:.4f}" for name in METRICS)
            print(f"seed {seed}: {told}; epoch {results[-1].best_epoch} of {results[-1].epochs}, "
                  f"{results[-1].parameters} parameters, {results[-1].seconds:.0f} s")  # fmt: skip
    except InputError as error:
        sys.exit(f"bench-accuracy: {error}")
    for name in METRICS:
        own = content[name]
        seeds = f"over {len(results)} seeds" if len(results) > 1 else "with one seed"
        print(f"{name}: {_told(own)} {seeds}, {_told(own['users'])} over users")


if __name__ == "__main__":
    main()
