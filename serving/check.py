"""Load a release in this process and check that it still gives the scores recorded when it was
made.

    python -m serving.check data/release            # one line for people; exit status 1 if it fails
    python -m serving.check data/release --json     # numbers
    python -m serving.check -                       # reads the folder from its first line of input
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file

from serving import golden
from serving.release import Release, ReleaseError
from training.recommender import Ranked

#: Largest difference of float32 scores that rounding on another CPU may cause.
TOLERANCE = 1e-4


def check(folder: Path, rounds: int = 5) -> dict[str, float]:
    """Measure a release: `golden_requests`, `golden_difference` (infinite if candidates differ),
    `not_finite` (weights and scores that are NaN or infinite), `rank_p50_ms` (one request at a
    time) and `megabytes`.

    Raises ReleaseError if the release does not verify or load.
    """
    torch.set_num_threads(1)  # as the service does
    release = Release.open(folder)
    recommender = release.load(release.catalogue())
    known = golden.read(folder)
    ranked = recommender.rank(known.requests)
    count = len(known.requests)
    singles = [golden.one(known.requests, row) for row in range(count)]
    seconds = []
    for request in singles * rounds:
        started = time.perf_counter()
        recommender.rank(request)
        seconds.append(time.perf_counter() - started)
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return {
        "golden_requests": float(count),
        "golden_difference": golden.difference(known, recommender, ranked),
        "not_finite": float(not_finite(folder, ranked)),
        "rank_p50_ms": float(np.median(seconds)) * 1e3 if seconds else np.nan,
        "megabytes": sum(sizes) / 1e6,
    }


def not_finite(folder: Path, ranked: Ranked) -> int:
    """The number of weights in `folder`, and of scores of candidates, that are NaN or infinite."""
    scores = ranked.scores[ranked.candidates >= 0]
    arrays = [scores]
    for path in folder.rglob("*.safetensors"):
        if path.name != golden.ARRAYS:  # features there are NaN where unknown
            arrays += load_file(path).values()
    return sum(int((~np.isfinite(array)).sum()) for array in arrays if array.dtype.kind == "f")


def passes(numbers: dict[str, float]) -> bool:
    """Whether there were golden requests and they were reproduced."""
    return numbers["golden_requests"] > 0 and numbers["golden_difference"] <= TOLERANCE


def main() -> None:
    told = sys.argv[1]
    folder = Path(sys.stdin.readline().rstrip("\n") if told == "-" else told)
    try:
        numbers = check(folder)
    except ReleaseError as error:
        sys.exit(f"{error}")
    if "--json" in sys.argv:
        print(json.dumps(numbers))
    else:
        print(
            f"{numbers['golden_requests']:.0f} golden requests, largest difference "
            f"{numbers['golden_difference']:.2g}; a request takes {numbers['rank_p50_ms']:.1f} ms, "
            f"{numbers['megabytes']:.1f} MB"
        )
    if not passes(numbers):
        sys.exit("the golden requests were not reproduced")


if __name__ == "__main__":
    main()
