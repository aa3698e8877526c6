"""Judge releases on the next wave of real events, as the service would have answered them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from base.arrays import Float64s, Int8s, Int64s, Objects
from features.ingest.spool import Rows, parts_of
from features.items.catalogue import Catalogue
from features.online import OnlineStore
from features.positive import positive_mask
from features.ragged import Histories, Ragged, offsets_of
from features.requests.requests import Queries
from features.requests.training_set import Timeline
from features.schema import EVENT_CODES
from features.splits.judged import first_choices, first_of_parts
from features.splits.windowing import SplitParams
from training.bootstrap import interval
from training.judging import Judged, judge_by, judge_scores
from training.recommender import Recommender

SYSTEMS: Final = ("served", "transformer", "frozen", "popularity")
METRICS: Final = ("ndcg@10", "recall@10")
K: Final = 10
QUERIES_PER_USER: Final = SplitParams.max_queries_per_user
#: The columns kept of an event.
KEPT: Final = ("user_id", "item_id", "event_type", "timestamp")


@dataclass(frozen=True)
class Positives:
    """Positive events in any order.

    user_ids, item_ids: object [n]; types: int8 [n]; timestamps: int64 [n], µs.
    """

    user_ids: Objects
    item_ids: Objects
    types: Int8s
    timestamps: Int64s


@dataclass(frozen=True)
class History:
    """Positive events of all users so far, in any order, stored compactly.

    events: columns KEPT, texts as dictionaries; min_rating: lower ratings are not positive.
    """

    events: pa.Table
    min_rating: float

    @staticmethod
    def of(events: Rows, min_rating: float) -> "History":
        """The positive events among rows of `schema.EVENT`."""
        parts = [_positive(rows, min_rating) for rows in parts_of(events)]
        return History(pa.concat_tables(parts).unify_dictionaries(), min_rating)

    def extended(self, events: pa.Table) -> "History":
        """The history with a later wave added."""
        both = pa.concat_tables([self.events, History.of(events, self.min_rating).events])
        return History(both.unify_dictionaries(), self.min_rating)

    def of_users(self, users: pa.Array) -> Positives:
        """The events of `users`."""
        column = self.events["user_id"].combine_chunks()
        wanted = pc.is_in(column.dictionary, value_set=users).take(column.indices)
        events = self.events.filter(wanted)
        kinds = events["event_type"].to_pylist()
        return Positives(
            np.array(events["user_id"].to_pylist(), dtype=object),
            np.array(events["item_id"].to_pylist(), dtype=object),
            np.array([EVENT_CODES[kind] for kind in kinds], dtype=np.int8),
            events["timestamp"].cast(pa.int64()).to_numpy(),
        )


def _positive(rows: pa.Table, min_rating: float) -> pa.Table:
    kept = rows.select(KEPT).filter(positive_mask(rows, min_rating))
    for place, name in enumerate(KEPT):
        if pa.types.is_string(kept.schema.field(name).type):
            kept = kept.set_column(place, name, kept[name].dictionary_encode())
    return kept


@dataclass(frozen=True)
class WaveJudged:
    """The results of every system on one wave. user_ids: object [queries]."""

    user_ids: Objects
    judged: dict[str, Judged]

    @property
    def queries(self) -> int:
        return len(self.user_ids)

    @property
    def users(self) -> int:
        return len(set(self.user_ids))


def pooled(
    waves: Sequence[WaveJudged], metric: str, seed: int, confidence: float
) -> dict[str, Any]:
    """Means by system, and paired differences to served, over all waves, for JSON.

    Each user counts once per wave; users are resampled with all their waves. Null if nobody was
    judged.
    """
    users = [np.unique(wave.user_ids.astype(str)) for wave in waves]
    codes = np.unique(np.concatenate(users), return_inverse=True)[1].astype(np.int64)
    columns = {
        system: np.concatenate(
            [_by_user(wave.user_ids, wave.judged[system].metrics[metric]) for wave in waves]
        )
        for system in SYSTEMS
    }
    return {
        **{system: float(c.mean()) if len(c) else None for system, c in columns.items()},
        **{
            f"served_minus_{other}": interval(
                columns["served"] - columns[other], codes, seed, confidence=confidence
            ).plain()
            for other in SYSTEMS[1:]
        },
    }


def judge_wave(queries: Queries, served: Recommender | None, frozen: Recommender) -> WaveJudged:
    """Judge every system on the queries of a wave, with the same catalogue.

    served: None before the first promotion; the service then answers by recency-popularity.
    """
    current = served or frozen
    requests = queries.requests
    judge = {}
    for name, recommender in (("served", served), ("frozen", frozen)):
        if recommender is not None:
            ranked = recommender.rank(requests, threads=2)
            judge[name] = judge_scores(queries, ranked.scores, K, ranked.candidates)
    for name in ("popularity", "transformer"):
        judge[name] = judge_by(queries, partial(current.scores_of, name), K, len(current.catalogue))
    judge.setdefault("served", judge["popularity"])
    return WaveJudged(requests.user_ids, judge)


def wave_queries(
    history: History, wave: pa.Table, catalogue: Catalogue, online: OnlineStore, length: int
) -> Queries:
    """The queries of a wave: a user's new choices at one moment.

    There are at most QUERIES_PER_USER per user (`features.splits.judged`). Items that the catalogue
    does not know are not targets.
    """
    users_of_wave = pc.unique(wave["user_id"])
    before = history.of_users(users_of_wave)
    known = history.extended(wave).of_users(users_of_wave)
    names, codes = np.unique(known.user_ids.astype(str), return_inverse=True)
    index = catalogue.index
    items = np.array([index.get(item, -1) for item in known.item_ids], dtype=np.int32)
    order = np.lexsort((items, known.timestamps, codes))
    timeline = Timeline(codes[order], known.timestamps[order], known.timestamps[order])
    new = first_choices(timeline.users, items[order])
    new &= (items[order] >= 0) & (order >= len(before.user_ids))
    pairs = np.stack([timeline.users[new], timeline.timestamps[new]], axis=1)
    asked, place = np.unique(pairs, axis=0, return_inverse=True)
    targets = Ragged(offsets_of(np.bincount(place, minlength=len(asked))), items[order][new])
    chosen = np.flatnonzero(first_of_parts(asked[:, 0], QUERIES_PER_USER))
    users, moments = asked[chosen, 0], asked[chosen, 1]
    rows, offsets = timeline.before(users, moments, length)
    past = order[rows]
    seen = items[past] >= 0
    owner = np.repeat(np.arange(len(users)), np.diff(offsets))
    histories = Histories(
        offsets_of(np.bincount(owner[seen], minlength=len(users))),
        items[past][seen],
        known.types[past][seen],
        known.timestamps[past][seen],
    )
    known_now = online.read([str(name) for name in names[users]], catalogue, length)
    item_features = online.read_items(catalogue)[None]
    requests = known_now.requests(
        names[users].astype(object), moments, item_features, histories=histories
    )
    return Queries(requests, targets.select(chosen), users, Ragged.empty(len(users)))


def _by_user(user_ids: Objects, values: Float64s) -> Float64s:
    """The mean per user, in order of user id."""
    _, inverse, counts = np.unique(user_ids.astype(str), return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(inverse, weights=values) / counts, dtype=np.float64)
