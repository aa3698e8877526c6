"""Groups of queries, to see what an overall mean can hide."""

from typing import Final

import numpy as np

from base.arrays import Bools
from features.requests.requests import Queries, Requests

NEW_USER: Final = 5
"""A user with fewer past events than this is new."""

LONG_HISTORY: Final = 50
"""A history with at least this many past events is long."""


def request_slices(requests: Requests) -> dict[str, Bools]:
    """bool [n] for each slice that is known at the request, by name."""
    lengths = requests.histories.lengths
    return {
        "new_users": lengths < NEW_USER,
        "short_history": (lengths >= NEW_USER) & (lengths < LONG_HISTORY),
        "long_history": lengths >= LONG_HISTORY,
    }


def slices(queries: Queries, new_items: Bools) -> dict[str, Bools]:
    """bool [n] for each slice by name. Slice `new_items` holds the queries with a new item among
    the targets.

    new_items: bool [catalogue], items that nobody had chosen before training.
    """
    is_new = np.zeros(len(queries), dtype=np.bool_)
    targets = queries.targets
    is_new[targets.rows[new_items[targets.items]]] = True
    return request_slices(queries.requests) | {"new_items": is_new}
