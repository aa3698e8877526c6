"""Which daily snapshots of the aggregates there are: those that may differ from the one before."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from features.aggregates import WINDOW_DAYS
from features.schema import DAY
from features.windows import Windows

Days = npt.NDArray[np.int64]


def snapshot_times(split: Path) -> list[int]:
    """Midnights, µs, ascending, from the last one before the rank window to the first after the
    end, which are always there, as is the last before the end.

    In between a midnight is left out when no aggregate changes at it: a row enters at the first
    one after it happened and was known, and leaves when it is older than a window. So the last
    snapshot before any moment holds what a daily one would, whatever gap the log has.
    """
    windows = Windows.read(split / "windows.json")
    first, end = windows.fit_end // DAY, windows.judge_end // DAY
    times = [
        _columns(split, name, "timestamp", "received_at") for name in ("events", "impressions")
    ]
    happened = np.unique(np.concatenate([timestamp for timestamp, _ in times]) // DAY)
    known = np.unique(np.concatenate([np.maximum(*pair) for pair in times]) // DAY)
    leaves = (happened[:, None] + WINDOW_DAYS + 1).ravel()
    days = np.concatenate([known + 1, leaves, _price_changes(split, happened) + 1])
    days = np.unique(np.append(days[(days > first) & (days < end)], [first, end, end + 1]))
    times_of_days: list[int] = (days * DAY).tolist()
    return times_of_days


def _price_changes(split: Path, happened: Days) -> Days:
    """Days on which a price became known while a window still held any of the days `happened`."""
    (received_at,) = _columns(split, "prices", "received_at")
    days = np.unique(received_at // DAY)
    before = happened[np.searchsorted(happened, days, side="right") - 1]
    return days[days - before < max(WINDOW_DAYS)]


def _columns(split: Path, table: str, *names: str) -> list[Days]:
    columns = pq.read_table(split / f"{table}.parquet", columns=list(names)).columns
    return [column.to_numpy() for column in columns]
