"""The logged context of a slate: enough to compute later with what propensity any release would
show it, and what the trees saw.

Stored as a JSON header and arrays, compressed together. Items are references into the vocabulary of
the release that served: it is a prefix of every later catalogue of the same log (docs/adr/0002).
Items that came after it are stored by id. All numbers are stored exactly. Of the rank features,
those that a snapshot of item features or the release itself gives are not stored (docs/adr/0025).
"""

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import orjson

from base.arrays import Float32s, Int32s, Int64s, Objects
from features.items.catalogue import Catalogue
from features.items.identity import begins_with, digest
from features.merge import UserHistory
from features.ragged import Ragged
from features.requests.item_steps import ItemFeatures
from features.requests.requests import FIRST_USER_FEATURES, Requests, aligned
from features.requests.user_rows import UserRows
from features.schema import ITEM_FEATURES, USER_FEATURES

#: Increased when the meaning of a field below, the layout or the formula of the policy changes (2:
#: by rank, docs/adr/0006; 3: arrays, docs/adr/0025). Not increased for an additional field, which
#: older programs ignore. Version 2 is read as well.
VERSION: Final = 3
#: Fields that hold items.
ITEMS: Final = ("history_items", "hidden", "impressed", "candidates")
#: Text that headers share, which makes them shorter. Part of the format: never change it.
_COMMON: Final = (
    b'{"temperature":0.5,"epsilon":0.05,"diversity":0.0},"seed":"","shown":0,"sent":0,"exclude":[],'
    b'"repeats":false,"placement":"home","user_id":"u","timestamp":1700000000000000,"k":10,'
    b'"features_at":1700000000000000,"eligible":1000,"catalogue_items":1000,'
    b'"catalogue_sequence":100,"policy":{"temperature":0.5,"epsilon":0.05,"diversity":0.0},'
    b'"definition":"","vocabulary":[1000,""],"others":[],"user_feature_names":["user_events_1d",'
    b'"user_events_7d","user_events_30d","user_impressions_7d","user_clicks_7d",'
    b'"user_mean_price_30d"],"feature_names":['
    b'"user_events_1d","user_events_7d","user_events_30d","user_impressions_7d","user_clicks_7d",'
    b'"user_mean_price_30d","item_trend","item_age_days",'
    b'"item_unseen","price","price_to_mean","price_to_recent","category_affinity",'
    b'"category_recent","category_last","text_last","impressed",'
    b'"history_length","hours_since_last"],"arrays":[["history_items","<i4",200],'
    b'["history_types","|i1",200],["history_timestamps","<i8",200],["hidden","<i4",0],'
    b'["impressed","<i4",100],["impressed_counts","<f4",100],["user_features","<f4",6],'
    b'["candidates","<i4",100],["scores","<f4",100],["features","<f4",[100,19]]]}'
)


@dataclass(frozen=True)
class Vocabulary:
    """The items of a release: how many, and a digest of their ids in order."""

    size: int
    digest: str

    @staticmethod
    def of(item_ids: Objects) -> "Vocabulary":
        return Vocabulary(len(item_ids), digest(item_ids))


class ContextError(ValueError):
    """A context that cannot be read with this program or this catalogue."""


@dataclass(frozen=True)
class Context:
    """All inputs of a decision.

    timestamp: of the request, µs; user_features: NaN or None where unknown, named by
    user_feature_names; features_at: snapshot of the item features, µs; history_*: positive events,
    oldest first; impressed, impressed_counts: of the last 7 days; hidden, exclude: item ids;
    candidates, scores: output of the ranker, only eligible items; eligible: number of eligible
    items; catalogue_items, catalogue_sequence: version of the catalogue; repeats: the placement's
    rule; sent: number of history entries that came with the request; seed: of `policy.uniforms`
    (None in older contexts, before draws were keyed by a secret); shown: how many of the first
    slots were already shown by an earlier request of the same draw. The propensities of these slots
    are in that request's log. features: float32 [candidates, feature_names], what the trees saw
    (`training.rank_features.LOGGED`), or None if nothing ranked or in version 2; definition: of
    their meaning (`training.rank_features.definition`).
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
    user_features: Sequence[float | None]
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
    features: Float32s | None = field(default=None, compare=False)
    feature_names: Sequence[str] = ()
    definition: str | None = None


def encode(
    plain: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[Any]],
    item_ids: Objects,
    vocabulary: Vocabulary,
) -> bytes:
    """The fields of a Context as bytes.

    plain: what JSON can hold; arrays: the other fields, those of ITEMS as indices of `item_ids`;
    item_ids: object [catalogue], which begins with the items of `vocabulary`.
    """
    stored = dict(arrays)
    found = [stored[name] for name in ITEMS if name in stored]
    late = np.unique(np.concatenate([items[items >= vocabulary.size] for items in found]))
    for name in ITEMS:
        items = stored[name]
        place = vocabulary.size + np.searchsorted(late, items)
        stored[name] = np.where(items < vocabulary.size, items, place).astype(np.int32)
    times = np.asarray(stored["history_timestamps"], dtype=np.int64)
    stored["history_timestamps"] = np.diff(times, prepend=np.int64(0))
    stored = {name: np.ascontiguousarray(values) for name, values in stored.items()}
    header = orjson.dumps(
        dict(plain)
        | {
            "vocabulary": [vocabulary.size, vocabulary.digest],
            "others": item_ids[late].tolist(),
            "arrays": [[name, v.dtype.str, v.shape] for name, v in stored.items()],
        }
    )
    squeezer = zlib.compressobj(6, zdict=_COMMON)
    parts = [struct.pack("<BI", VERSION, len(header)), header, *map(_planes, stored.values())]
    return squeezer.compress(b"".join(parts)) + squeezer.flush()


class Reader:
    """Reads contexts for one catalogue, `item_ids`: object [catalogue]."""

    def __init__(self, item_ids: Objects) -> None:
        self._item_ids = item_ids
        self._fits: dict[tuple[int, str], bool] = {}

    def read(self, data: bytes) -> Context:
        """A context. Fields of later programs are ignored.

        Raises ContextError if the catalogue does not begin with the items of the release that
        served, and for a context of a version that is not known.
        """
        content, rest = _parts(data)
        if rest is not None:
            size, known = content["vocabulary"]
            if (size, known) not in self._fits:
                self._fits[size, known] = begins_with(self._item_ids, size, known)
            if not self._fits[size, known]:
                raise ContextError("a context of a release with other items than this catalogue")
            others = np.array(content["others"], dtype=object)
            for name, values in _arrays(content["arrays"], rest):
                if name in ITEMS:
                    content[name] = self._ids(values, size, others).tolist()
                else:
                    content[name] = values if name == "features" else values.tolist()
        fields = Context.__dataclass_fields__.keys() & content.keys()
        return Context(**{name: content[name] for name in fields})

    def _ids(self, items: Int32s, size: int, others: Objects) -> Objects:
        ids: Objects = np.empty(len(items), dtype=object)
        early = items < size
        ids[early] = self._item_ids[items[early]]
        ids[~early] = others[items[~early] - size]
        return ids


def decode(data: bytes, item_ids: Objects) -> Context:
    """`Reader.read` of a single context."""
    return Reader(item_ids).read(data)


def seed_of(data: bytes) -> str | None:
    """The seed of a context, without reading the rest."""
    seed = _parts(data)[0].get("seed")
    return None if seed is None else str(seed)


def _parts(data: bytes) -> tuple[dict[str, Any], memoryview | None]:
    """The header and the arrays; None for version 2, whose header holds everything."""
    try:
        content = zlib.decompressobj(zdict=_COMMON).decompress(data)
    except zlib.error as error:
        raise ContextError(f"a context that cannot be read: {error}") from error
    if not content:
        raise ContextError("an empty context")
    version, header = content[0], 5
    if content[:1] == b"{":
        plain: dict[str, Any] = orjson.loads(content)
        version = plain.pop("version", 0)
        if version == 2:
            return plain, None
    if version != VERSION:
        raise ContextError(f"a context of version {version}; this program reads 2 and {VERSION}")
    end = header + struct.unpack_from("<I", content, 1)[0]
    return orjson.loads(content[header:end]), memoryview(content)[end:]


def _arrays(
    stored: Sequence[tuple[str, str, Sequence[int]]], rest: memoryview
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    for name, kind, shape in stored:
        dtype = np.dtype(kind)
        length = int(np.prod(shape)) * dtype.itemsize
        values = _unplaned(rest[:length], dtype, shape)
        rest = rest[length:]
        yield name, np.cumsum(values) if name == "history_timestamps" else values


def _planes(values: npt.NDArray[Any]) -> bytes:
    """The bytes of `values`, column after column, all first bytes first: like stands by like."""
    columns = np.ascontiguousarray(values.T).reshape(-1)
    return columns.view(np.uint8).reshape(len(columns), values.itemsize).T.tobytes()


def _unplaned(data: memoryview, dtype: np.dtype[Any], shape: Sequence[int]) -> npt.NDArray[Any]:
    count = len(data) // dtype.itemsize
    planes = np.frombuffer(data, dtype=np.uint8).reshape(dtype.itemsize, count)
    columns = np.ascontiguousarray(planes.T).reshape(-1).view(dtype)
    return np.ascontiguousarray(columns.reshape(tuple(shape)[::-1]).T)


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
