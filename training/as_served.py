"""Features of shown items for the trees: as they were served, where the log holds them."""

from collections.abc import Sequence

import numpy as np

from base.arrays import Float32s, Int32s
from features.requests.requests import Queries
from features.requests.slates import Slates
from training.rank_features import LOGGED, LOGGED_COLUMNS, definition
from training.recommender import Recommender


def shown_features(
    recommender: Recommender,
    slates: Queries,
    request_ids: Sequence[str],
    shown: Int32s,
    served: Slates,
) -> Float32s:
    """float32 [n, longest slate, FEATURES] of `shown` (int32, -1 for padding), in n slates.

    served: slates with their contexts; one of them is the slate with the same request id. There,
    what models say is computed for the request as logged, under its placement's rule for repeats,
    by the models of `recommender`, behind which the trees will stand. All other features of a
    candidate are those that were served, if the same code computed them. Slates without a context
    are described from the log.
    """
    features = recommender.describe(slates.requests, shown)
    place = {request_id: at for at, request_id in enumerate(served.request_ids)}
    rows = np.array([row for row, known in enumerate(request_ids) if known in place], np.int64)
    found = np.array([place[request_ids[row]] for row in rows], np.int64)
    for repeats in (False, True):
        chosen = served.repeats[found] == repeats
        if chosen.any():
            asked = served.requests.select(found[chosen])
            features[rows[chosen]] = recommender.describe(asked, shown[rows[chosen]], repeats)
    meaning = definition()
    for row, at in zip(rows, found, strict=True):
        logged = served.contexts[at]
        same = logged.definition == meaning and tuple(logged.feature_names) == LOGGED
        if logged.features is None or not same:
            continue
        slots, columns = np.nonzero(
            (shown[row][:, None] == served.candidates[at]) & (shown[row][:, None] >= 0)
        )
        features[row, slots[:, None], LOGGED_COLUMNS] = logged.features[columns]
    return features
