"""Push the live histories of all users to the online store, from the feedback log."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from features.splits.windowing import SplitParams
from flows.lease import wall_clock
from serving import live_history
from serving.feedback_log import FeedbackLog

if TYPE_CHECKING:
    from features.online import OnlineStore

#: Seconds between two progress messages.
TELL_SECONDS = 5.0


def restore(
    engine: sa.Engine, online: "OnlineStore", champion: Path | None, say: Callable[[str], None]
) -> int:
    """Push the live history of every user in the log, by the champion's rules. Returns their
    number.

    champion: folder of the release being served, or None; say: receives progress messages. The time
    is linear in the log.
    """
    length, min_rating = _rules(champion)
    log, users, last = FeedbackLog(engine), 0, ""
    told = time.monotonic()
    while group := log.users(last, live_history.GROUP):
        live_history.push(log, online, group, length, min_rating, wall_clock())
        users, last = users + len(group), group[-1]
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            say(f"live histories of {users:,} users ...")
    say(f"live histories of {users:,} users are restored")
    return users


def _rules(champion: Path | None) -> tuple[int, float]:
    """The length of histories and the lowest rating that counts, as used by the champion."""
    if champion is None:
        return SplitParams.history_length, SplitParams.min_rating
    from serving.release import Release

    release = Release.open(champion)
    return release.history_length, release.min_rating
