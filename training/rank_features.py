"""The features of a candidate for the trees. One function for training, judging and serving.

No feature may depend on how old the model is. "Has no trained id" would mean an item hours old in
the rank window, but days old when judged or served, so trees that learn from it fail later.
`item_unseen` (no event in 30 days, at the last materialisation) always means the same.
"""

from functools import cache
from typing import Final

import numpy as np
from scipy import sparse

from base import code
from base.arrays import Bools, Float32s, Int32s, Scores
from features.items.multi_hot import dots
from features.items.past import State
from features.requests.requests import Requests
from features.schema import HOUR, ITEM_FEATURES, USER_FEATURES
from training.sources.all import SOURCES
from training.sources.asked import Asked
from training.sources.recent import recent_items

_SCORED: Final = tuple(source for source in SOURCES if source.described)
_LOGITS: Final = tuple(source for source in SOURCES if source.logits)
_STANDINGS: Final = tuple(f"{s.name}_{kind}" for s in _SCORED for kind in ("score", "rank", "z"))
_CONTEXT: Final = (
    *(f"{source.name}_log_probability" for source in _LOGITS),
    "item_trend",
    "item_age_days",
    "item_unseen",
    "price",
    "price_to_mean",
    "price_to_recent",
    "category_affinity",
    "category_recent",
    "category_last",
    "text_last",
    "neighbours_last",
    "impressed",
    "history_length",
    "hours_since_last",
)

#: Feature names, in the order of the last axis.
FEATURES: Final = (*_STANDINGS, *ITEM_FEATURES, *USER_FEATURES, *_CONTEXT)


#: Features of fitted models. They say something else with every fit, the others do not.
FITTED: Final = frozenset(
    (*_STANDINGS, *(f"{source.name}_log_probability" for source in _LOGITS), "neighbours_last")
)
#: Features that are logged with a request. The others follow from what versions give: the snapshot
#: that it read, and the release that served.
LOGGED: Final = tuple(name for name in FEATURES if name not in FITTED | {*ITEM_FEATURES})
LOGGED_COLUMNS: Final = tuple(FEATURES.index(name) for name in LOGGED)

#: Features whose higher values may never lower a candidate.
RISING: Final = frozenset(
    f"{source.name}_{kind}"
    for source in _SCORED
    if source.only_raises
    for kind in ("score", "z", "log_probability")
)


@cache
def definition() -> str:
    """A digest of the code that computes the features: where it differs, so may their meaning."""
    return code.digest(code.deciding([__name__]))[:16]


def rank_features(
    asked: Asked,
    near: sparse.csr_matrix | None,
    scores: dict[str, Scores],
    eligible: Bools,
    candidates: Int32s,
) -> Float32s:
    """float32 [n, C, len(FEATURES)], NaN where unknown. Rows of padding hold arbitrary values.

    near: float32 sparse [catalogue, catalogue], the neighbours of each item, if known; scores: [n,
    catalogue] of each source present; eligible: bool [n, catalogue], the items over which ranks and
    z-scores are computed; candidates: int32 [n, C], padded with -1.
    """
    requests = asked.requests
    items = np.maximum(candidates, 0)
    features = np.full((*candidates.shape, len(FEATURES)), np.nan, dtype=np.float32)
    column = {name: i for i, name in enumerate(FEATURES)}
    for source in _SCORED:
        if source.name in scores:
            first = column[f"{source.name}_score"]
            features[:, :, first : first + 3] = _standing(scores[source.name], eligible, items)
    start = column[ITEM_FEATURES[0]]
    activity = requests.item_features[requests.snapshot[:, None], items]
    features[:, :, start : start + len(ITEM_FEATURES)] = activity
    start = column[USER_FEATURES[0]]
    features[:, :, start : start + len(USER_FEATURES)] = requests.user_features[:, None, :]
    for source in _LOGITS:
        if source.name in scores:
            chosen = np.take_along_axis(scores[source.name], items, axis=1)
            log_probability = chosen - _log_sum(scores[source.name], eligible)[:, None]
            features[:, :, column[f"{source.name}_log_probability"]] = log_probability
    for name, values in _item_context(asked.state, requests, activity, items).items():
        features[:, :, column[name]] = values
    for name, values in _price_context(asked, items).items():
        features[:, :, column[name]] = values
    for name, values in _history_context(asked, near, items).items():
        features[:, :, column[name]] = values
    return features


def _standing(scores: Scores, eligible: Bools, items: Int32s) -> Float32s:
    """Score, rank (0 is best; equal scores share the better rank) and z-score: float32 [n, C,
    3]."""
    chosen = np.take_along_axis(scores, items, axis=1)
    count = np.maximum(eligible.sum(axis=1), 1)
    kept = np.where(eligible, scores, np.float32(0))
    mean = kept.sum(axis=1, dtype=np.float64) / count
    square = np.einsum("ni,ni->n", kept, kept, dtype=np.float64) / count
    spread = np.sqrt(np.maximum(square - mean**2, 0.0)) + 1e-6
    ordered = np.sort(np.where(eligible, scores, np.float32(-np.inf)), axis=1)
    size = scores.shape[1]
    ranks = np.stack(
        [size - np.searchsorted(*row, side="right") for row in zip(ordered, chosen, strict=True)]
    )
    z = (chosen - mean[:, None]) / spread[:, None]
    return np.stack([chosen, ranks, z], axis=2).astype(np.float32)


def _log_sum(scores: Scores, eligible: Bools) -> Float32s:
    """log of the sum of exp over eligible items, float32 [n]; 0 if no item is eligible."""
    allowed = np.where(eligible, scores, np.float32(-np.inf))
    best = np.where(eligible.any(axis=1), allowed.max(axis=1, initial=-np.inf), np.float32(0))
    total = np.exp(allowed - best[:, None]).sum(axis=1)
    return np.asarray(best + np.log(np.where(total > 0, total, 1.0)), dtype=np.float32)


def _item_context(
    state: State, requests: Requests, activity: Float32s, items: Int32s
) -> dict[str, Float32s]:
    """Features of an item's age and activity, and of earlier impressions to the user: [n, C]
    each."""
    created = np.take_along_axis(state.created_at, items, axis=1)
    day = activity[:, :, ITEM_FEATURES.index("item_events_1d")]
    week = activity[:, :, ITEM_FEATURES.index("item_events_7d")]
    shown = np.zeros(state.price.shape, dtype=np.float32)
    shown[requests.impressed.rows, requests.impressed.items] = requests.impressed_counts
    ages = (requests.timestamps[:, None] - created) / (24 * HOUR)
    month = activity[:, :, ITEM_FEATURES.index("item_events_30d")]
    known = created > 0
    days = np.where(known, np.clip(ages, 1.0, 7.0), 7.0)
    return {
        "item_trend": np.log1p(day) - np.log1p(week / days),
        "item_age_days": np.where(known, ages, np.nan),
        "item_unseen": (np.nan_to_num(month) == 0).astype(np.float32),
        "impressed": np.take_along_axis(shown, items, axis=1),
    }


def _price_context(asked: Asked, items: Int32s) -> dict[str, Float32s]:
    """Prices as known at the request, alone and compared with the user's usual price: [n, C]
    each."""
    state, requests, recent = asked.state, asked.requests, asked.recent
    price = np.take_along_axis(state.price, items, axis=1)
    user_mean = requests.user_features[:, USER_FEATURES.index("user_mean_price_30d")]
    rows = np.repeat(np.arange(len(requests)), np.diff(recent.indptr))
    past = _log(state.price[rows, recent.indices])
    share = np.bincount(rows, recent.data * ~np.isnan(past), len(requests))
    total = np.bincount(rows, recent.data * np.nan_to_num(past), len(requests))
    recent_mean = total / np.where(share > 0, share, np.nan)
    return {
        "price": price,
        "price_to_mean": _log(price) - _log(user_mean)[:, None],
        "price_to_recent": (_log(price) - recent_mean[:, None]).astype(np.float32),
    }


def _log(price: Float32s) -> Float32s:
    """The logarithm; NaN where unknown or not positive."""
    return np.log(np.where(price > 0, price, np.nan)).astype(np.float32)


def _history_context(
    asked: Asked, near: sparse.csr_matrix | None, items: Int32s
) -> dict[str, Float32s]:
    """Features that compare the item with the user's history: [n, C] each; NaN without a
    history."""
    requests, tables, seen = asked.requests, asked.tables, asked.seen
    histories, size = requests.histories, len(tables.catalogue)
    lengths = histories.lengths
    empty = (lengths == 0)[:, None]
    newest = np.maximum(histories.offsets[1:] - 1, 0)
    # Without a history there is no last item. Any row will do, because the result is replaced by
    # NaN below.
    last = np.where(empty[:, 0], 0, histories.items[newest] if len(histories.items) else 0)
    linked: Float32s = np.full(items.shape, np.nan, dtype=np.float32)
    if near is not None:
        linked = np.take_along_axis(near[last].toarray(), items, axis=1)
    rows = np.arange(len(requests))
    contents, last_content = seen.of(rows[:, None], items), seen.of(rows, last)

    def affinity(categories: sparse.csr_matrix) -> Float32s:
        """How well the candidates' categories match those of each request, [n, categories]."""
        return np.where(empty, np.nan, dots(tables.categories, contents, categories.toarray()))

    liked = seen.weights(recent_items(histories, None, 50.0, size)) @ tables.categories
    liked_recently = seen.weights(asked.recent) @ tables.categories
    alike = tables.catalogue.all_text[last_content] @ tables.text_columns
    since = np.full(len(requests), np.nan)
    since[lengths > 0] = histories.timestamps[newest[lengths > 0]]
    hours = (requests.timestamps - since) / HOUR
    return {
        "category_affinity": affinity(liked),
        "category_recent": affinity(liked_recently),
        "category_last": affinity(tables.categories[last_content]),
        "text_last": np.where(empty, np.nan, np.take_along_axis(alike, contents, axis=1)),
        "neighbours_last": np.where(empty, np.nan, linked),
        "history_length": np.broadcast_to(lengths[:, None], items.shape).astype(np.float32),
        "hours_since_last": np.broadcast_to(hours[:, None], items.shape).astype(np.float32),
    }
