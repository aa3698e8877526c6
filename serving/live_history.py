"""Live histories: what the online store is told after each commit, so that the next answer reacts.

Several processes push for one user, and their pushes may pass each other on the way. So a push is
followed by a look at the log: while somebody committed more for these users, push again. Whoever
pushes last has then seen everything, and the store is not left behind the log.
"""

from collections.abc import Sequence
from itertools import count

from features.online import OnlineStore
from serving.log import FeedbackLog


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
