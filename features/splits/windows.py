"""The three time windows of a training run, oldest to newest: fit, rank, judge."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Windows:
    """Bounds in µs: fit is [start, fit_end), rank [fit_end, rank_end), judge [rank_end, judge_end].

    The transformer sees only fit, the trees only rank, and judge is never trained on.
    """

    start: int
    fit_end: int
    rank_end: int
    judge_end: int

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def read(path: Path) -> "Windows":
        return Windows(**json.loads(path.read_text()))
