"""Where the fit, rank and judge windows begin and end."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from features.schema import DAY, MINUTE
from features.windows import Windows


class SplitError(ValueError):
    """The log is too small to be split; the message says what is missing."""


@dataclass(frozen=True)
class SplitParams:
    """Section `split` of params.yaml."""

    rank_days: float = 1.0
    """Shortest rank window, days: what the trees learn from."""

    judge_days: float = 1.0
    """Shortest judge window, days: what the release is judged on, never trained on."""

    min_targets: int = 400
    """Both windows reach further back until they hold this many organic positive events."""

    max_queries_per_user: int = 5
    """Organic queries per user and window, chosen evenly spaced."""

    history_length: int = 200
    """Newest positive events that a request carries."""

    attribution_minutes: float = 60.0
    """How long after an impression an outcome counts as its click."""

    min_rating: float = 0.0
    """Ratings below this are no positive events."""

    @property
    def attribution(self) -> int:
        """The attribution window in µs."""
        return round(self.attribution_minutes * MINUTE)


@dataclass(frozen=True)
class Rules:
    """What a reader of `data/split` must know to build the same requests (`rules.json`)."""

    history_length: int
    repeats: bool

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    @staticmethod
    def read(path: Path) -> "Rules":
        return Rules(**json.loads(path.read_text()))


def choose_windows(
    start: int, last: int, organic: npt.NDArray[np.int64], params: SplitParams
) -> Windows:
    """The windows of a log.

    start, last: first and last timestamp of any event, µs; organic: timestamps of organic positive
    events, ascending, int64 [n]. Judge begins `judge_days` before the end, or earlier where that
    holds fewer than `min_targets` of them; rank likewise before it. Raises SplitError where
    nothing would be left to fit on.
    """
    judge_end = last + 1
    rank_end = _window_start(judge_end, params.judge_days, organic, params.min_targets)
    fit_end = _window_start(rank_end, params.rank_days, organic, params.min_targets)
    if fit_end <= start:
        raise SplitError(
            f"the log holds {len(organic)} organic positive events over "
            f"{(judge_end - start) / DAY:.1f} days: too little for rank and judge windows of "
            f"{params.min_targets} targets each and a fit window before them; "
            "collect more or lower split.min_targets, split.rank_days or split.judge_days"
        )
    return Windows(start=start, fit_end=fit_end, rank_end=rank_end, judge_end=judge_end)


def _window_start(end: int, days: float, organic: npt.NDArray[np.int64], min_targets: int) -> int:
    by_days = end - round(days * DAY)
    before = int(np.searchsorted(organic, end, side="left"))
    if before < min_targets:
        return -1
    return min(by_days, int(organic[before - min_targets]) if min_targets else by_days)
