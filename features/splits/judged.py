"""Which events of a user are judged: which choices are new, and which moments become queries.

A choice is new at the user's first event with an item, because an item chosen before is not shown
again. If a user has too many moments, evenly spaced ones are used, so that heavy users do not
dominate. The n moments, numbered r from 0, are cut into `kept` parts (r is in part r · kept // n),
and one moment of each part is kept.

The split keeps the last moment of a part, when most is known of the user. The tail of the fit
window and the waves of a replay keep the first, so that a newcomer's first moment is included.
"""

import numpy as np

from base.arrays import Bools, Int32s, Int64s


def first_choices(users: Int64s, items: Int32s) -> Bools:
    """bool [n]: whether an event is its user's first with its item. Events are in order of time.

    users: int64 [n], from 0; items: int32 [n], index, −1 if unknown.
    """
    first = np.zeros(len(items), dtype=np.bool_)
    pairs = users * (int(items.max(initial=0)) + 2) + items + 1
    first[np.unique(pairs, return_index=True)[1]] = True
    return first


def first_of_parts(users: Int64s, kept: int) -> Bools:
    """bool [n]: the first row of each of a user's `kept` parts, or all rows of a user with fewer.

    users: int64 [n], ascending; each user's rows are in order of time.
    """
    start = np.searchsorted(users, users)
    count = np.searchsorted(users, users, side="right") - start
    part = (np.arange(len(users)) - start) * kept // np.maximum(count, kept)
    first: Bools = np.diff(users * kept + part, prepend=-1) != 0
    return first


def last_of_parts(kept: int) -> str:
    """SQL condition for the last row of each of `kept` parts, or for all rows if there are fewer.

    Expects columns `r` (row number from 0) and `n` (number of rows).
    """
    return f"n <= {kept} OR ((r + 1) * {kept}) // n > (r * {kept}) // n"
