"""Update live histories in the online store after each commit, so that the next answer uses them.

Several processes push histories for the same user, and pushes may overtake each other. So after a
push, look at the log and push again if another process has committed events of these users. The
last push then contains everything, and the store does not stay behind the log.
"""

import threading
from collections.abc import Iterable, Sequence
from itertools import count

from features.online import OnlineStore
from serving.feedback_log import FeedbackLog

#: Users per write to the store.
GROUP = 1_000


def push(
    log: FeedbackLog,
    online: OnlineStore,
    user_ids: Sequence[str],
    length: int,
    min_rating: float,
    now: int,
) -> None:
    """Replace the live history of users by that in the log (see `FeedbackLog.recent`).

    now: µs. Each retry uses a slightly later time, because Feast's Redis store ignores rows that
    are not newer.
    """
    behind = set(user_ids)
    for moment in count(now):
        if not behind:
            return
        seen = log.last_offset()
        online.push_history(log.recent(sorted(behind), length, min_rating), moment)
        behind &= log.users_after(seen)


class Pusher:
    """Pushes histories after each commit.

    If a push fails, its users are pushed again with the next one, or when the store is back. The
    log has all events meanwhile.
    """

    def __init__(self, log: FeedbackLog, online: OnlineStore) -> None:
        self._log, self._online = log, online
        self._missed: set[str] = set()
        self._lock = threading.Lock()

    def push(self, user_ids: Iterable[str], length: int, min_rating: float, now: int) -> None:
        """Push these users and those whose last push failed. Raises the errors of the store."""
        with self._lock:
            self._missed.update(user_ids)
            waiting = sorted(self._missed)
            for start in range(0, len(waiting), GROUP):
                group = waiting[start : start + GROUP]
                push(self._log, self._online, group, length, min_rating, now)
                self._missed.difference_update(group)
