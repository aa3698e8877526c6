"""The propensities of a logged slate, from its logged context alone."""

from collections.abc import Sequence

import numpy as np

from base.arrays import Float64s
from features.items.catalogue import Catalogue
from features.requests.context import Context
from serving.policy import PolicyParams, propensity


def propensities(
    logged: Context, slate: Sequence[str], categories_of: Catalogue | None = None
) -> Float64s:
    """The propensity of each slot of `slate` (item ids) under the policy that showed it, float64
    [k].

    categories_of: needed if the policy has a diversity penalty.
    """
    places = {item_id: i for i, item_id in enumerate(logged.candidates)}
    for item_id in slate:
        places.setdefault(item_id, len(places))
    categories = None
    if categories_of is not None:
        known = [categories_of.index[item_id] for item_id in places]
        categories = categories_of.categories[known]
    count = len(logged.candidates)
    slots: Float64s = propensity(
        np.array([logged.scores], dtype=np.float32).reshape(1, count),
        np.arange(count, dtype=np.int32)[None],
        np.array([logged.eligible], dtype=np.int64),
        np.array([[places[item_id] for item_id in slate]], dtype=np.int32),
        PolicyParams.written(logged.policy),
        categories,
    )
    return slots.reshape(-1)
