"""The cost of training by number of events and of items, at a reduced length.

    make bench-scale
    python -m benchmarks.scale --events 1e5 1e6 --catalogues 1e3 1e4 --steps 20 --set size=small

Generated logs are stored on disk and memory-mapped. The product's trainer then runs a number of
steps and ranks a tail, each point in its own process. `reports/bench-scale.json` and the plot
`bench-scale.png` are written after each point.
"""

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import lightning
import numpy as np

from base.errors import InputError
from benchmarks import made_log, scale_report
from benchmarks.child import measured
from benchmarks.options import add_set, changes, fit_params
from benchmarks.progress import peak_bytes
from features.items.text import TEXT_SIZE
from training.transformer import trainer
from training.transformer.config import RunOptions, TransformerParams
from training.transformer.data import Tokens
from training.transformer.packing import Batch
from training.transformer.tail import lazy_candidates

SEED: Final = 1
QUERIES: Final = 200
"""Moments ranked after the last step."""

DEFAULTS: Final[dict[str, Any]] = {"batch_tokens": 8192, "max_length": 64, "max_epochs": 1}


@dataclasses.dataclass(frozen=True)
class ScalePoint:
    """One size to measure. series: its line in the plot, "events", "catalogue" or "both"."""

    series: str
    events: int
    catalogue: int
    steps: int
    seconds: float
    """Limit of the training time, even if steps are left."""


class Stopwatch(lightning.Callback):
    """Records the end of each step, and ends the training after a number of steps or seconds."""

    def __init__(self, steps: int, seconds: float) -> None:
        self.steps = steps
        self.seconds = seconds
        self.ends: list[float] = []
        self.events: list[int] = []

    def on_train_batch_end(self, trainer: lightning.Trainer, *told: Any) -> None:
        batch: Batch = told[2]
        self.ends.append(time.perf_counter())
        self.events.append(int((batch.inputs.positions > 0).sum()))
        over = self.ends[-1] - self.ends[0] >= self.seconds
        trainer.should_stop = over or len(self.ends) >= self.steps


def measure(point: ScalePoint, params: TransformerParams, folder: Path) -> dict[str, Any]:
    """Train on the log in `folder`, which `made_log.write` generated for this point."""
    random = np.random.default_rng(SEED)
    text = random.standard_normal((point.catalogue, TEXT_SIZE), dtype=np.float32)
    tail = made_log.tail(QUERIES, point.catalogue, SEED)
    allowed = lazy_candidates(tail, np.zeros(point.catalogue, dtype=np.int64), repeats=True)
    watch = Stopwatch(point.steps, point.seconds)
    options = RunOptions()
    began = time.perf_counter()
    fitted = trainer.fit(
        Tokens.open(folder), tail, allowed, text, params, options, folder / "run", False, [watch]
    )
    ended = time.perf_counter()
    steps = np.diff(watch.ends)
    return {
        "series": point.series,
        "events": point.events,
        "catalogue": point.catalogue,
        "items_with_id": fitted.config.vocabulary,
        "draws": fitted.recipe.negatives,
        "parameters": fitted.parameters,
        "steps": len(watch.ends),
        "events_per_second": sum(watch.events[1:]) / float(steps.sum()),
        "seconds_per_step": float(np.median(steps)),
        "seconds_to_first_step": watch.ends[0] - began,
        "seconds_to_rank_and_save": ended - watch.ends[-1],
        "peak_mb": peak_bytes() / 2**20,
    }


def run(point: ScalePoint, values: dict[str, Any]) -> dict[str, Any]:
    """Generate the point's log, measure it in a separate process, and remove it.

    Raises InputError with the last lines of a process that failed.
    """
    with tempfile.TemporaryDirectory(prefix="rondo-scale-") as name:
        folder = Path(name)
        made_log.write(folder, point.events, point.catalogue, SEED)
        task = json.dumps({"point": dataclasses.asdict(point), "fit": values})
        what = f"{point.events} events x {point.catalogue} items"
        return measured(what, "benchmarks.scale", "--task", task, name)


def points(arguments: argparse.Namespace) -> list[ScalePoint]:
    """Numbers of events for one catalogue, catalogues for one number of events, and the largest
    of both."""
    chosen = [
        *(("events", int(events), int(arguments.at_catalogue)) for events in arguments.events),
        *(("catalogue", int(arguments.at_events), int(items)) for items in arguments.catalogues),
    ]
    if arguments.events and arguments.catalogues:
        chosen.append(("both", int(max(arguments.events)), int(max(arguments.catalogues))))
    return [ScalePoint(*sizes, arguments.steps, arguments.seconds) for sizes in chosen]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("--events", type=float, nargs="*", default=[1e5, 1e6, 1e7, 1e8])
    parser.add_argument("--catalogues", type=float, nargs="*", default=[1e3, 1e4, 1e5, 1e6])
    parser.add_argument("--at-catalogue", type=float, default=1e5, help="items, against events")
    parser.add_argument("--at-events", type=float, default=1e7, help="events, against items")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=60.0, help="of training at each point")
    add_set(parser)
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    parser.add_argument("--task", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.task:
        task = json.loads(arguments.task[0])
        params = fit_params(task["fit"])
        found = measure(ScalePoint(**task["point"]), params, Path(arguments.task[1]))
        print(json.dumps(found))
        return
    try:
        values = DEFAULTS | {"seed": SEED} | changes(arguments.set)
        fit_params(values)
    except InputError as error:
        sys.exit(f"bench-scale: {error}")
    threads = RunOptions().threads
    content: dict[str, Any] = {"fit": values, "threads": threads, "cores": os.cpu_count()}
    content["points"] = []
    try:
        print(scale_report.HEAD, flush=True)
        for point in points(arguments):
            content["points"].append(run(point, values))
            scale_report.write(content, arguments.reports)
            print(scale_report.row(content["points"][-1]), flush=True)
    except InputError as error:
        sys.exit(f"bench-scale: {error}")


if __name__ == "__main__":
    main()
