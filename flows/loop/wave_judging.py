"""Judging releases on the next wave of real events, as the service would have answered them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from features.ingest.spool import Rows, parts_of
from features.items.catalogue import Catalogue
from features.online import OnlineStore
from features.positive import positive_mask
from features.ragged import Histories, Ragged, offsets_of
from features.requests.requests import Queries
from features.requests.training_set import Timeline
from features.schema import EVENT_CODES
from training.bootstrap import interval
from training.judging import Judged, judge_by, judge_scores
from training.recommender import Recommender

SYSTEMS: Final = ("served", "transformer", "frozen", "popularity")
METRICS: Final = ("ndcg@10", "recall@10")
K: Final = 10
QUERIES_PER_USER: Final = 5
#: What is kept of an event.
KEPT: Final = ("user_id", "item_id", "event_type", "timestamp")


@dataclass(frozen=True)
class Positives:
    """Positive events, in no order. user_ids, item_ids: object [n]; types: int8 [n]; timestamps:
    int64 [n], µs."""

    user_ids: npt.NDArray[np.object_]
    item_ids: npt.NDArray[np.object_]
    types: npt.NDArray[np.int8]
    timestamps: npt.NDArray[np.int64]


@dataclass(frozen=True)
class History:
    """Positive events so far, of all users, in no order, as numbers for the most part.

    events: columns KEPT, texts as dictionaries; min_rating: a rating below it is not positive.
    """

    events: pa.Table
    min_rating: float

    @staticmethod
    def of(events: Rows, min_rating: float) -> "History":
        """The positive ones among rows of `schema.EVENT`."""
        parts = [_positive(rows, min_rating) for rows in parts_of(events)]
        return History(pa.concat_tables(parts).unify_dictionaries(), min_rating)

    def extended(self, events: pa.Table) -> "History":
        """With a later wave."""
        both = pa.concat_tables([self.events, History.of(events, self.min_rating).events])
        return History(both.unify_dictionaries(), self.min_rating)

    def of_users(self, users: pa.Array) -> Positives:
        """The events of some users."""
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
    """Every system on one wave. user_ids: object [queries]."""

    user_ids: npt.NDArray[np.object_]
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
    """Means by system and paired differences to served over all waves, for JSON: each user counts
    once a wave, users are resampled with all their waves. Null where nobody was judged."""
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
    """Every system on the queries of a wave, all over one catalogue.

    served: None while nothing was promoted: the service then answers with recency-popularity.
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
    """The queries of a wave: its items not yet in the user's history, by user and moment; at most
    QUERIES_PER_USER, evenly spaced. Items that the catalogue does not know cannot be hit."""
    users_of_wave = pc.unique(wave["user_id"])
    known = history.extended(wave).of_users(users_of_wave)
    new = History.of(wave, history.min_rating).of_users(users_of_wave)
    names, codes = np.unique(known.user_ids.astype(str), return_inverse=True)
    index = catalogue.index
    items = np.array([index.get(item, -1) for item in known.item_ids], dtype=np.int32)
    order = np.lexsort((items, known.timestamps, codes))
    timeline = Timeline(codes[order], known.timestamps[order], known.timestamps[order])
    wave_codes = np.searchsorted(names, new.user_ids.astype(str))
    chosen = evenly(wave_codes, new.timestamps)
    users, moments = chosen[:, 0], chosen[:, 1]
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
    new_items = np.array([index.get(item, -1) for item in new.item_ids], dtype=np.int32)
    targets: dict[tuple[int, int], set[int]] = {}
    for code, moment, item in zip(wave_codes, new.timestamps, new_items, strict=True):
        targets.setdefault((int(code), int(moment)), set()).add(int(item))
    lists = [
        sorted(targets[int(user), int(moment)] - {-1} - set(_of(histories, row)))
        for row, (user, moment) in enumerate(zip(users, moments, strict=True))
    ]
    known_now = online.read([str(name) for name in names[users]], catalogue, length)
    item_features = online.read_items(catalogue)[None]
    requests = known_now.requests(
        names[users].astype(object), moments, item_features, histories=histories
    )
    none_shown = Ragged.empty(len(lists))
    queries = Queries(requests, Ragged.from_lists(lists), users.astype(np.int64), none_shown)
    return queries.select(np.flatnonzero([len(targets) > 0 for targets in lists]))


def evenly(users: npt.NDArray[np.int64], moments: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Distinct (user, moment) pairs, int64 [n, 2]; of a user with more than QUERIES_PER_USER,
    evenly spaced ones."""
    pairs = np.unique(np.stack([users, moments], axis=1), axis=0)
    _, starts, lengths = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    kept: list[npt.NDArray[np.int64]] = []
    for start, length in zip(starts, lengths, strict=True):
        count = min(length, QUERIES_PER_USER)
        kept.append(start + np.linspace(0, length - 1, count).round().astype(np.int64))
    return pairs[np.concatenate(kept)] if kept else pairs


def _of(histories: Histories, row: int) -> list[int]:
    items: list[int] = histories.items[histories.offsets[row] : histories.offsets[row + 1]].tolist()
    return items


def _by_user(
    user_ids: npt.NDArray[np.object_], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The mean of each user, in order of id."""
    _, inverse, counts = np.unique(user_ids.astype(str), return_inverse=True, return_counts=True)
    return np.asarray(np.bincount(inverse, weights=values) / counts, dtype=np.float64)
