"""Live histories: what the online store is told after each commit, so that the next answer reacts.

Several processes push for one user, and their pushes may pass each other on the way. So a push is
followed by a look at the log: while somebody committed more for these users, push again. Whoever
pushes last has then seen everything, and the store is not left behind the log.
"""

import threading
from collections.abc import Iterable, Sequence
from itertools import count

from features.online import OnlineStore
from serving.feedback_log import FeedbackLog

#: Users in one write to the store.
GROUP = 1_000


def push(
    log: FeedbackLog,
    online: OnlineStore,
    user_ids: Sequence[str],
    length: int,
    min_rating: float,
    now: int,
) -> None:
    """Replace the live history of users by what the log holds: see `FeedbackLog.recent`.

    now: µs; each attempt is a little later, for Feast's Redis store takes only a later row.
    """
    behind = set(user_ids)
    for moment in count(now):
        if not behind:
            return
        seen = log.last_offset()
        online.push_history(log.recent(sorted(behind), length, min_rating), moment)
        behind &= log.users_after(seen)


class Pusher:
    """Pushes after each commit. A user whose push failed is pushed with the next one, or when the
    store is there again: the log has what was missed."""

    def __init__(self, log: FeedbackLog, online: OnlineStore) -> None:
        self._log, self._online = log, online
        self._missed: set[str] = set()
        self._lock = threading.Lock()

    def push(self, user_ids: Iterable[str], length: int, min_rating: float, now: int) -> None:
        """Of these users and of those that were missed. Raises what the store raises."""
        with self._lock:
            self._missed.update(user_ids)
            waiting = sorted(self._missed)
            for start in range(0, len(waiting), GROUP):
                group = waiting[start : start + GROUP]
                push(self._log, self._online, group, length, min_rating, now)
                self._missed.difference_update(group)
