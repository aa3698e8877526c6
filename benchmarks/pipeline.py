"""The cost of each pipeline stage, from ingest to package, by number of events, items and days.

    make bench-pipeline
    python -m benchmarks.pipeline --events 1e5 1e6 --items 1e3 1e4 --days 10 365

Generated logs (`benchmarks.made_source`) go through the stages of `dvc.yaml`, each stage in its own
process. `reports/bench-pipeline.json` is written after each log. The last lines are the exponents
of growth, where 1 means linear.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from base.errors import InputError
from base.params_file import edit
from benchmarks import made_source
from benchmarks.child import CHECKOUT
from benchmarks.made_source import Size
from benchmarks.options import changes

SEED: Final = 1
#: One epoch is enough to see how the transformer's cost grows.
DEFAULTS: Final[dict[str, Any]] = {"fit.max_epochs": 1}
#: A small log, to measure the cost of starting the stages.
SMALLEST: Final = Size(5_000, 200, 10)
#: An exponent is computed only above this many CPU seconds more than for the smallest log.
TELLING: Final = 1.0

#: Events ingested at a time.
RANGE: Final = 1_000_000

#: Folders of code that fingerprints read.
SOURCES: Final = ("base", "features", "training", "serving", "simulation", "flows", "benchmarks")

SERIES: Final = ("events", "items", "days")


@dataclass(frozen=True)
class PipelinePoint:
    """One log to measure. series: the size that varies along its line, or "start"; size: of the
    log."""

    series: str
    size: Size


def stages(checkout: Path) -> dict[str, str]:
    """Name and command of each pipeline stage over `data/log`, in order, beginning with
    `ingest`."""
    defined = yaml.safe_load((checkout / "dvc.yaml").read_text())["stages"]
    commands = {
        name: stage["cmd"].replace("${input}", "data/log")
        for name, stage in defined.items()
        if name != "world"
    }
    ingest = "exec python -m benchmarks.pipeline --ingest data/source data/log"
    return {"ingest": ingest, **commands}


def measure(size: Size, values: dict[str, Any], checkout: Path = CHECKOUT) -> dict[str, Any]:
    """Run every stage on a generated log: seconds, CPU seconds and peak memory (MB) by stage.

    Raises InputError with the last lines of a stage that failed.
    """
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="rondo-pipeline-") as name:
        folder = Path(name)
        (folder / "params.yaml").write_text((checkout / "params.yaml").read_text())
        edit(folder / "params.yaml", {"input": "data/log"} | values)
        for source in SOURCES:
            (folder / source).symlink_to(checkout / source)
        (folder / "dvc.yaml").symlink_to(checkout / "dvc.yaml")
        made_source.write(folder / "data/source", size, SEED)
        for stage, command in stages(checkout).items():
            found[stage] = _timed(stage, command, folder, checkout)
    return found


def _timed(stage: str, command: str, folder: Path, checkout: Path) -> dict[str, float]:
    environment = os.environ | {
        "PYTHONPATH": str(checkout),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RONDO_HOME": str(folder / ".rondo"),
        "RONDO_STAGE_TIME_LIMIT": "36000",
    }
    log = folder / "log"
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=folder,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        raise InputError(f"stage {stage} ended with {process.returncode}:\n{last}")
    return {
        "seconds": time.perf_counter() - began,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 2**10,
    }


def points(arguments: argparse.Namespace) -> list[PipelinePoint]:
    """The smallest log, then each series with the other two sizes at their middle values."""
    middle = Size(int(arguments.at_events), int(arguments.at_items), int(arguments.at_days))
    chosen = [PipelinePoint("start", SMALLEST)]
    for series in SERIES:
        for value in getattr(arguments, series):
            chosen.append(PipelinePoint(series, Size(**asdict(middle) | {series: int(value)})))
    return chosen


def exponents(found: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """By series and stage: the power of the size with which CPU seconds grow.

    Computed from the first log on which a stage's work exceeds its start to the largest log; None
    if there is none.
    """
    import numpy as np

    (start,) = [point["stages"] for point in found if point["series"] == "start"]
    result: dict[str, dict[str, float | None]] = {}
    for series in SERIES:
        line = sorted((p for p in found if p["series"] == series), key=lambda p: int(p[series]))
        for stage in start:
            work = [
                (p[series], p["stages"][stage]["cpu_seconds"] - start[stage]["cpu_seconds"])
                for p in line
            ]
            told = [(size, seconds) for size, seconds in work if seconds >= TELLING]
            power = None
            if len(told) > 1:
                logs = np.log(np.array(told, dtype=np.float64))
                power = round(float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0]), 2)
            result.setdefault(series, {})[stage] = power
    return result


def line(point: dict[str, Any]) -> str:
    """A log's size, then CPU seconds and peak MB by stage."""
    size = f"{point['events']:>11,}{point['items']:>11,}{point['days']:>7,}"
    cells = (f"{s['cpu_seconds']:>8.1f} {s['peak_mb']:>6,.0f}" for s in point["stages"].values())
    return size + "".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline")
    parser.add_argument("--events", type=float, nargs="*", default=[1e5, 1e6, 1e7])
    parser.add_argument("--items", type=float, nargs="*", default=[1e3, 1e4, 1e5, 1e6])
    parser.add_argument("--days", type=float, nargs="*", default=[10, 365, 7300])
    parser.add_argument("--at-events", type=float, default=1e6, help="events, against the others")
    parser.add_argument("--at-items", type=float, default=1e4, help="items, against the others")
    parser.add_argument("--at-days", type=float, default=730, help="days, against the others")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="change a value of params.yaml, such as fit.max_epochs=2")  # fmt: skip
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    parser.add_argument("--ingest", nargs=2, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ingest:
        ingest(*arguments.ingest)
        return
    try:
        values = DEFAULTS | changes(arguments.set)
        content: dict[str, Any] = {"set": values, "cores": os.cpu_count(), "points": []}
        names = list(stages(CHECKOUT))
        print(f"{'events':>11}{'items':>11}{'days':>7}" + "".join(f"{n:>15}" for n in names))
        for point in points(arguments):
            told = {"series": point.series, **asdict(point.size)}
            content["points"].append(told | {"stages": measure(point.size, values)})
            content["exponents"] = exponents(content["points"])
            arguments.reports.mkdir(parents=True, exist_ok=True)
            report = arguments.reports / "bench-pipeline.json"
            report.write_text(json.dumps(content, indent=2) + "\n")
            print(line(content["points"][-1]), flush=True)
    except InputError as error:
        sys.exit(f"bench-pipeline: {error}")
    for series, powers in content["exponents"].items():
        cells = "".join(f"{'-' if p is None else f'{p:.2f}':>15}" for p in powers.values())
        print(f"{'exponent of ' + series:>29}{cells}")


def ingest(source: Path, log: Path) -> None:
    """Store the rows of `source` in the log's folder as `rondo ingest` does, RANGE events at a
    time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from features.ingest import store_events, store_items

    now, first = int(time.time() * 1_000_000), 0
    for batch in pq.ParquetFile(source / "events.parquet").iter_batches(RANGE):
        store_events(pa.Table.from_batches([batch]), log, first, now)
        first += batch.num_rows
    store_items(pq.read_table(source / "items.parquet"), log, 0, now)


if __name__ == "__main__":
    main()
