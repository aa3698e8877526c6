"""Where the fit, rank and judge windows begin and end."""

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
    """The log is too small to be split; the message says what is missing."""


@dataclass(frozen=True)
class SplitParams:
    """Section `split` of params.yaml."""

    rank_days: Length = 1.0
    """Shortest rank window, days: what the trees learn from."""

    judge_days: Length = 1.0
    """Shortest judge window, days: what the release is judged on, never trained on."""

    min_targets: Least = 400
    """Both windows reach further back until they hold this many organic positive events."""

    min_users: Least = 120
    """Both windows reach further back until they hold this many users with such events, but hold
    at most `max_window_share` of all such events for its sake."""

    max_window_share: Float = 0.1
    """Share of the organic positive events that each of the two may take to find enough users; fit
    needs the rest."""

    max_queries_per_user: Count = 5
    """Organic queries per user and window, chosen evenly spaced."""

    max_queries: Count = 5_000
    """Queries of a kind (organic, slate) and window, chosen evenly spaced: what judging and the
    trees cost grows with them times the catalogue."""

    history_length: Count = 200
    """Newest positive events that a request carries."""

    attribution_minutes: Length = 60.0
    """How long after an impression an outcome counts as its click."""

    min_rating: Float = 0.0
    """Ratings below this are no positive events."""

    @property
    def attribution(self) -> int:
        """The attribution window in µs."""
        return round(self.attribution_minutes * MINUTE)


class Rules(Record):
    """What a reader of `data/split` must know to build the same requests (`rules.json`)."""

    history_length: int
    repeats: bool
    min_rating: float


@dataclass(frozen=True)
class Organic:
    """Organic positive events in order of time. timestamps, users: int64 [n]."""

    timestamps: Int64s
    users: Int64s


def choose_windows(start: int, last: int, organic: Organic, params: SplitParams) -> Windows:
    """The windows of a log.

    start, last: first and last timestamp of any event, µs. Judge begins `judge_days` before the
    end, or earlier where that holds fewer than `min_targets` events or `min_users` users; rank
    likewise before it. Raises SplitError where nothing would be left to fit on.
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
    """How many of the newest events it takes to meet `count` users; all of them for fewer."""
    _, first = np.unique(users[::-1], return_index=True)
    if count == 0:
        return 0
    return int(np.sort(first)[count - 1]) + 1 if len(first) >= count else len(users)
