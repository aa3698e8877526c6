"""Choose where the fit, rank and judge windows begin and end."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from base.arrays import Int64s
from base.errors import InputError
from base.params import Float, Int
from base.record import Record
from features.schema import DAY, MINUTE
from features.splits.windows import Windows

Count = Annotated[Int, Field(ge=1)]
Least = Annotated[Int, Field(ge=0)]
Length = Annotated[Float, Field(ge=0, allow_inf_nan=False)]


class SplitError(InputError):
    """The log is too small to be split. The message says what is missing."""


@dataclass(frozen=True)
class SplitParams:
    """Section `split` of params.yaml."""

    rank_days: Length = 1.0
    """Shortest rank window, in days. The trees learn from it."""

    judge_days: Length = 1.0
    """Shortest judge window, in days. Releases are judged on it and never trained on it."""

    min_targets: Least = 400
    """Rank and judge windows are lengthened until each holds this many organic positive events."""

    min_users: Least = 120
    """Rank and judge windows are lengthened until each holds this many users with such events.

    The limit `max_window_share` takes precedence.
    """

    max_window_share: Float = 0.1
    """Largest share of the organic positive events that each of these windows may take in order
    to find enough users. The fit window needs the rest."""

    max_queries_per_user: Count = 5
    """Organic queries per user and window, evenly spaced."""

    max_queries: Count = 5_000
    """Queries per kind (organic, slate) and window, evenly spaced.

    The cost of judging and of the trees grows with this number times the size of the catalogue.
    """

    max_slates: Count = 50_000
    """Served requests per window that the gate may read, evenly spaced."""

    history_length: Count = 200
    """How many of the user's newest positive events a request holds."""

    attribution_minutes: Length = 60.0
    """How long after an impression an event still counts as its click."""

    min_rating: Float = 0.0
    """Ratings below this value are not positive events."""

    @property
    def attribution(self) -> int:
        """The attribution window in µs."""
        return round(self.attribution_minutes * MINUTE)

    def attributed(self, happened: str, shown: str) -> str:
        """SQL, over columns in µs: an event that `happened` counts for what was `shown`."""
        return f"{happened} BETWEEN {shown} AND {shown} + {self.attribution}"


class Rules(Record):
    """Settings that a reader of `data/split` needs to build the same requests (`rules.json`)."""

    history_length: int
    repeats: bool
    min_rating: float


@dataclass(frozen=True)
class Organic:
    """Organic positive events in order of time. timestamps, users: int64 [n]."""

    timestamps: Int64s
    users: Int64s


def choose_windows(start: int, last: int, organic: Organic, params: SplitParams) -> Windows:
    """Choose the windows of a log.

    start, last: first and last timestamp of any event, µs. The judge window begins `judge_days`
    before the end, or earlier if it would hold fewer than `min_targets` events or `min_users`
    users. The rank window is chosen likewise before it. Raises SplitError if nothing would be left
    to fit on.
    """
    judge_end = last + 1
    rank_end = _window_start(judge_end, params.judge_days, organic, params)
    fit_end = _window_start(rank_end, params.rank_days, organic, params)
    if fit_end <= start:
        raise SplitError(
            f"the log holds {len(organic.timestamps)} organic positive events over "
            f"{(judge_end - start) / DAY:.1f} days: too little for rank and judge windows of "
            f"{params.min_targets} targets each and a fit window before them; "
            "collect more or lower split.min_targets, split.rank_days or split.judge_days"
        )
    return Windows(start=start, fit_end=fit_end, rank_end=rank_end, judge_end=judge_end)


def _window_start(end: int, days: float, organic: Organic, params: SplitParams) -> int:
    before = int(np.searchsorted(organic.timestamps, end, side="left"))
    if before < params.min_targets:
        return -1
    for_users = min(_events_of_users(organic.users[:before], params.min_users), before)
    most = int(params.max_window_share * len(organic.timestamps))
    events = max(params.min_targets, min(for_users, most))
    by_days = end - round(days * DAY)
    return min(by_days, int(organic.timestamps[before - events])) if events else by_days


def _events_of_users(users: Int64s, count: int) -> int:
    """How many of the newest events are needed to include `count` users; all if there are fewer
    users."""
    _, first = np.unique(users[::-1], return_index=True)
    if count == 0:
        return 0
    return int(np.sort(first)[count - 1]) + 1 if len(first) >= count else len(users)
