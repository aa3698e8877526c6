"""The logged context of a slate: enough to compute later with what propensity any release would
show it.

Stored as compressed JSON with item ids, so that it can be read with any catalogue. Scores are
float32 and are stored exactly.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from base.arrays import Float32s, Int64s
from features.items.catalogue import Catalogue
from features.merge import UserHistory
from features.ragged import Ragged
from features.requests.item_steps import ItemFeatures
from features.requests.requests import FIRST_USER_FEATURES, Requests, aligned
from features.requests.user_rows import UserRows
from features.schema import ITEM_FEATURES, USER_FEATURES

#: Increased when the meaning of a field below or the formula of the policy changes (2: by rank,
#: docs/adr/0006). Not increased for an additional field, which older programs ignore.
VERSION = 2


@dataclass(frozen=True)
class Context:
    """All inputs of a decision.

    timestamp: of the request, µs; user_features: None where unknown, named by user_feature_names;
    features_at: snapshot of the item features, µs; history_*: positive events, oldest first;
    impressed, impressed_counts: of the last 7 days; hidden, exclude: item ids; candidates, scores:
    output of the ranker, only eligible items; eligible: number of eligible items; catalogue_items,
    catalogue_sequence: version of the catalogue; repeats: the placement's rule; sent: number of
    history entries that came with the request; seed: of `policy.uniforms` (None in older contexts,
    before draws were keyed by a secret); shown: how many of the first slots were already shown by
    an earlier request of the same draw. The propensities of these slots are in that request's log.
    """

    user_id: str
    placement: str
    timestamp: int
    k: int
    history_items: list[str]
    history_types: list[int]
    history_timestamps: list[int]
    hidden: list[str]
    exclude: list[str]
    impressed: list[str]
    impressed_counts: list[float]
    user_features: list[float | None]
    features_at: int
    candidates: list[str]
    scores: list[float]
    eligible: int
    catalogue_items: int
    catalogue_sequence: int
    repeats: bool
    policy: dict[str, Any]
    user_feature_names: Sequence[str] = FIRST_USER_FEATURES
    sent: int = 0
    seed: str | None = None
    shown: int = 0


def encode(context: dict[str, Any]) -> bytes:
    """The fields of a Context (arrays allowed) as bytes."""
    content = orjson.dumps(context | {"version": VERSION}, option=orjson.OPT_SERIALIZE_NUMPY)
    return zlib.compress(content, 1)


def decode(data: bytes) -> Context:
    """Read a context. Fields of later programs are ignored.

    Raises ValueError for a context of another VERSION.
    """
    content = orjson.loads(zlib.decompress(data))
    version = content.pop("version", None)
    if version != VERSION:
        raise ValueError(f"a context of version {version}; this program reads {VERSION}")
    known = Context.__dataclass_fields__.keys() & content.keys()
    return Context(**{name: content[name] for name in known})


def requests_of(
    contexts: Sequence[Context],
    catalogue: Catalogue,
    item_features: ItemFeatures,
    features_at: Int64s,
) -> Requests:
    """Turn logged requests into arrays for `catalogue`, so that any release can rank them.

    item_features: float32 [snapshots, catalogue, ITEM_FEATURES]; features_at: int64 [snapshots],
    µs, ascending. Items that the catalogue does not know are left out.
    """
    assert item_features.shape[1:] == (len(catalogue), len(ITEM_FEATURES))
    features = np.array([_user_features(c) for c in contexts], dtype=np.float32)
    rows = UserRows.of(
        [
            UserHistory(c.history_items, c.history_types, c.history_timestamps, c.hidden)
            for c in contexts
        ],
        catalogue,
        features.reshape(-1, len(USER_FEATURES)),
        [zip(c.impressed, c.impressed_counts, strict=True) for c in contexts],
    )
    moments = np.array([c.features_at for c in contexts], dtype=np.int64)
    snapshot = np.maximum(np.searchsorted(features_at, moments, side="right") - 1, 0)
    return rows.requests(
        [c.user_id for c in contexts],
        [c.timestamp for c in contexts],
        item_features,
        snapshot=snapshot.astype(np.int32),
        excluded=Ragged.from_lists([catalogue.places(c.exclude) for c in contexts]),
    )


def _user_features(context: Context) -> Float32s:
    values = [np.nan if value is None else value for value in context.user_features]
    row = np.array(values, dtype=np.float32)
    return aligned(row, context.user_feature_names, USER_FEATURES)
