"""The cost of importing a file of ratings: peak memory and CPU seconds by number of rows.

    make bench-imports ARGS="--rows 1e6 3e6 --forms movielens csv jsonl gz"

The files look like `ratings.csv` of MovieLens-25M: rows sorted by user, from 1995 to 2019; at 25
million rows they have 162 thousand users and 59 thousand items, both with a long tail. Each file is
imported in a separate process.
"""

import argparse
import gzip
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv as csv

from base.errors import InputError
from benchmarks.child import measured

SEED: Final = 1
ITEMS: Final = 59_047
MEDIAN_LENGTH: Final = 70
SHORTEST: Final = 20
FIRST: Final = 789_652_009
LAST: Final = 1_574_327_703
#: Users generated at a time.
CHUNK: Final = 2_000

#: The file name of each form.
FORMS: Final = {
    "movielens": "ratings.csv",
    "csv": "export.csv",
    "jsonl": "export.jsonl",
    "gz": "export.csv.gz",
}
NAMES: Final = {
    "user_id": "userId", "item_id": "movieId", "value": "rating", "timestamp": "timestamp",
}  # fmt: skip
MAPPING: Final = {"events": {"columns": NAMES, "constants": {"event_type": "rating"}}}


def write(path: Path, rows: int, seed: int = SEED) -> None:
    """Write `rows` ratings as CSV, or as JSON lines or gzipped if the name says so."""
    with gzip.open(path, "wb", 1) if path.suffix == ".gz" else path.open("wb") as file:
        if path.suffix != ".jsonl":
            file.write(f"{','.join(NAMES.values())}\n".encode())
        for table in _ratings(rows, np.random.default_rng(seed)):
            if path.suffix == ".jsonl":
                _write_lines(table, file)
            else:
                csv.write_csv(table, file, csv.WriteOptions(include_header=False))


def _write_lines(table: pa.Table, file: BinaryIO | gzip.GzipFile) -> None:
    columns = (table[name].to_pylist() for name in table.column_names)
    lines = (
        f'{{"userId": {user}, "movieId": {item}, "rating": {stars}, "timestamp": {when}}}\n'
        for user, item, stars, when in zip(*columns, strict=True)
    )
    file.write("".join(lines).encode())


def _ratings(rows: int, random: np.random.Generator) -> Iterator[pa.Table]:
    """Ratings by user, each user's in order of item, as GroupLens sorts them."""
    made, users = 0, 0
    while made < rows:
        lengths = SHORTEST + random.lognormal(np.log(MEDIAN_LENGTH), 1.25, CHUNK).astype(np.int64)
        user = np.repeat(users + 1 + np.arange(CHUNK), np.minimum(lengths, 10_000))
        item = np.floor(np.exp(random.random(len(user)) * np.log(ITEMS + 1))).astype(np.int64)
        pairs = np.unique(np.stack([user, item], axis=1), axis=0)[: rows - made]
        user, item = pairs[:, 0], pairs[:, 1]
        start = random.integers(FIRST, LAST - 10**6, CHUNK)[user - users - 1]
        years = random.random(len(user)) < 0.1  # users who come back later
        later = np.where(years, random.random(len(user)) * (LAST - start), 0).astype(np.int64)
        when = start + np.maximum(later, random.integers(0, 10**4, len(user)))
        stars = random.choice([0.5, 1, 2, 2.5, 3, 3.5, 4, 4.5, 5], len(user))
        yield pa.table({"userId": user, "movieId": item, "rating": stars, "timestamp": when})
        made, users = made + len(user), users + CHUNK


def one(form: str, source: Path, log: Path) -> dict[str, Any]:
    """Import `source` in this process."""
    from base import params
    from features.ingest import IngestParams, read_source, store_events

    values = {} if form == "movielens" else MAPPING
    mapping = params.build(IngestParams, "ingest", {"mapping": values}).mapping
    began = time.perf_counter()
    found = read_source(source, mapping)
    report = store_events(found.events, log, 0, int(time.time() * 1_000_000))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "stored": report.stored,
        "quarantined": report.quarantined,
        "files": len(report.partitions),
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 1),
        "peak_mb": round(usage.ru_maxrss / 2**10),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imports")
    parser.add_argument("--rows", type=float, nargs="+", default=[1e6, 3e6])
    parser.add_argument("--forms", nargs="+", choices=list(FORMS), default=["movielens"])
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        form, source, log = arguments.one
        print(json.dumps(one(form, Path(source), Path(log))))
        return
    for form in arguments.forms:
        for rows in arguments.rows:
            with tempfile.TemporaryDirectory(prefix="rondo-imports-") as name:
                folder = Path(name) / "source"
                folder.mkdir()
                file = folder / FORMS[form]
                write(file, int(rows))
                source = folder if form == "movielens" else file
                found = measured(
                    f"{int(rows)} rows of {form}", "benchmarks.imports",
                    "--one", form, str(source), str(Path(name) / "log"),
                )  # fmt: skip
            print(json.dumps({"form": form, "rows": int(rows)} | found), flush=True)


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"benchmarks.imports: {error}")
