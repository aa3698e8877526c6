"""How often the gate is right, on real releases of a simulated world.

    make bench-gate
    make bench-gate SEED=7 RUNS=300
    python -m benchmarks.gate.bench --seeds 1 2 3 --runs 300 --report

Trains a bank of releases for each world, once, and keeps it in RONDO_HOME. Then it plays runs of
twenty looks on them and asks the gate what it decides. Everything goes on where it was stopped.
Results go to `reports/bench-gate.json` and `reports/bench-gate.html`.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from base.params import load
from benchmarks.gate import playing
from benchmarks.gate.bank import Bank
from benchmarks.gate.page import write
from benchmarks.gate.recipes import RECIPES
from benchmarks.gate.results import gather
from training.thresholds import GateParams

#: Tasks of each kind per 300 runs.
BESIDE: Final = {"estimators": 60, "swing": 36, "ranking": 12}


def numbers(runs: int) -> dict[str, int]:
    """Tasks of each kind, of all seeds together."""
    return {"run": runs, **{kind: max(1, runs * n // 300) for kind, n in BESIDE.items()}}


def build(bank: Bank) -> None:
    """Train the releases of a bank that are not there yet."""
    for number, (name, recipe) in enumerate(RECIPES.items(), start=1):
        seconds = bank.build(name, recipe)
        if seconds:
            told = f"seed {bank.seed}: release {number} of {len(RECIPES)}"
            print(f"{told}  {name:<16}{seconds:7.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the worlds")
    parser.add_argument("--runs", type=int, default=300, help="of twenty looks, of all seeds")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--report", action="store_true", help="only report what has been played")
    parser.add_argument("--out", type=Path, default=Path("reports"))
    arguments = parser.parse_args()
    banks = [Bank.of(seed) for seed in arguments.seeds]
    thresholds = load(GateParams, "gate")
    wanted = playing.tasks(banks, numbers(arguments.runs), thresholds.clip)
    if not arguments.report:
        with ThreadPoolExecutor(arguments.processes) as pool:
            list(pool.map(build, banks))
        playing.play_all(wanted, arguments.processes)
    results = gather(wanted, thresholds, arguments.out)
    write(results, arguments.out)
    print(f"{results.content['runs']} runs: {arguments.out / 'bench-gate.html'}")


if __name__ == "__main__":
    main()
