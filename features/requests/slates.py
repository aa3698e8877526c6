"""Served slates as arrays: the requests as logged, the slates shown, and what came of them.

    slates = load_slates(split, features, "judge")

Read from the tables of `data/split` and `data/features`. The requests are those of the logged
contexts, so any release can rank them, and the propensities are those that the policy logged.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.arrays import Bools, Float32s, Float64s, Int32s, Int64s, Objects
from features.batch.joins import items_at
from features.batch.reaching import features_since, oldest
from features.batch.snapshots import Snapshots
from features.items.catalogue import Catalogue
from features.requests import context
from features.requests.context import Context
from features.requests.item_steps import ItemSteps
from features.requests.requests import Requests
from features.requests.training_set import load_catalogue


@dataclass(frozen=True)
class Slates:
    """n served slates of at most k slots, of C candidates each, in order of time.

    Item indices are of the catalogue of `data/split`, -1 for padding.
    """

    request_ids: Objects
    """[n]."""
    users: Int64s
    """Index of the user [n]."""
    requests: Requests
    """What each request knew, n rows."""
    candidates: Int32s
    """Eligible items that the release ranked [n, C]."""
    scores: Float32s
    """Their scores, as served [n, C], -inf for padding."""
    eligible_count: Int64s
    """Number of items that could be shown [n]."""
    items: Int32s
    """Items shown [n, k]."""
    propensities: Float64s
    """Of each slot given those above it, as logged [n, k], 0 for padding."""
    clicks: Float64s
    """1 where the slot's item was clicked within the attribution window [n, k]."""
    carts: Float64s
    """1 where it was put into a cart [n, k]."""
    purchases: Float64s
    """1 where it was bought [n, k]."""
    given: Int64s
    """How many of the first slots an earlier request of the same draw showed [n]. Their outcomes
    belong to that request and are 0 here."""
    open: Bools
    """Whether the attribution window ends after the data, so that outcomes may be missing [n]."""
    placements: Objects
    """[n]."""
    repeats: Bools
    """Whether items of the history could be shown again [n]."""
    policies: Sequence[Mapping[str, Any]]
    """Section `policy` of the release that served [n]."""
    releases: Objects
    """The release that served, or None [n]."""
    sources: Objects
    """What ordered the candidates, such as `trees` [n]."""
    fallbacks: Objects
    """Why the answer was a smaller one, or None [n]."""
    arms: Objects
    """The side of a split of traffic, or None [n]."""
    contexts: Sequence[Context] = ()
    """The contexts, if certain slates were asked for [n]."""

    def __len__(self) -> int:
        return len(self.request_ids)

    @property
    def rewards(self) -> Float64s:
        """`clicks`."""
        return self.clicks

    @property
    def present(self) -> Bools:
        """Whether a slot held an item [n, k]."""
        return np.asarray(self.items >= 0)

    def select(self, rows: Int64s) -> "Slates":
        """The slates of `rows`, in that order."""
        arrays = {
            name: value[rows] for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        return replace(
            self,
            requests=self.requests.select(rows),
            policies=[self.policies[row] for row in rows],
            contexts=[self.contexts[row] for row in rows] if self.contexts else (),
            **arrays,
        )


def load_slates(
    split: Path, features: Path, window: str, only: Collection[str] | None = None
) -> Slates:
    """The served slates of `window` ("rank" or "judge"), or only those of some request ids, with
    their contexts.

    Those of a context that this program does not read are left out, and so is one with a candidate
    that the log does not know. Without served requests in the log there are none.
    """
    table = pq.read_table(split / "slates.parquet", filters=pc.field("window") == window)
    if only is not None:
        table = table.filter(pc.is_in(table["request_id"], pa.array(sorted(only), pa.string())))
    catalogue = load_catalogue(split)
    kept, contexts = _readable(table, catalogue)
    table = table.take(pa.array(kept, pa.int64()))
    slates = _slates(table, contexts, catalogue, _requests(contexts, catalogue, split, features))
    return slates if only is None else replace(slates, contexts=contexts)


def _readable(table: pa.Table, catalogue: Catalogue) -> tuple[list[int], list[Context]]:
    reader = context.Reader(catalogue.item_ids)
    kept, contexts = [], []
    for row, data in enumerate(table["context"].to_pylist()):
        try:
            logged = reader.read(data)
        except context.ContextError:
            continue
        if all(item_id in catalogue.index for item_id in logged.candidates):
            kept.append(row)
            contexts.append(logged)
    return kept, contexts


def _requests(
    contexts: Sequence[Context], catalogue: Catalogue, split: Path, features: Path
) -> Requests:
    """The requests with the item features of the snapshots that they read. A request that read none
    knows none."""
    read = [logged.features_at for logged in contexts]
    with features_since(oldest([], read), split, features) as reaching:
        snapshots = Snapshots.read(reaching)
        known = np.unique([moment for moment in read if moment]).astype(np.int64)
        known = known[known <= snapshots.last]
        moments = np.append(np.int64(0), known)
        ids = pa.chunked_array([pa.array(catalogue.item_ids, pa.string())])
        changes = items_at(ids, moments, reaching)
    steps = ItemSteps.from_table(changes, moments, len(catalogue))
    return context.requests_of(contexts, catalogue, steps, moments)


def _slates(
    table: pa.Table, contexts: Sequence[Context], catalogue: Catalogue, requests: Requests
) -> Slates:
    count, index = len(contexts), catalogue.index
    candidates = _padded([[index[i] for i in c.candidates] for c in contexts], -1, np.int32)
    scores = _padded([c.scores for c in contexts], -np.inf, np.float32)

    def by_slot(name: str, fill: float, kind: type) -> Any:
        return _padded(table[name].to_pylist(), fill, kind)

    def texts(name: str) -> Objects:
        found: Objects = np.empty(count, dtype=object)
        found[:] = table[name].to_pylist()
        return found

    return Slates(
        request_ids=texts("request_id"),
        users=table["user"].to_numpy().astype(np.int64),
        requests=requests,
        candidates=candidates,
        scores=scores,
        eligible_count=np.array([c.eligible for c in contexts], dtype=np.int64),
        items=by_slot("items", -1, np.int32),
        propensities=by_slot("propensities", 0.0, np.float64),
        clicks=by_slot("clicks", 0.0, np.float64),
        carts=by_slot("carts", 0.0, np.float64),
        purchases=by_slot("purchases", 0.0, np.float64),
        given=table["given"].to_numpy().astype(np.int64),
        open=table["open"].to_numpy(zero_copy_only=False).astype(np.bool_),
        placements=texts("placement"),
        repeats=np.array([c.repeats for c in contexts], dtype=np.bool_),
        policies=[c.policy for c in contexts],
        releases=texts("release"),
        sources=texts("source"),
        fallbacks=texts("fallback"),
        arms=texts("arm"),
    )


def _padded(rows: Sequence[Sequence[Any]], fill: float, kind: type) -> Any:
    """Rows of unequal length as an array [rows, longest]."""
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    padded: npt.NDArray[Any] = np.full((len(rows), int(lengths.max(initial=0))), fill, dtype=kind)
    for row, values in enumerate(rows):
        padded[row, : lengths[row]] = values
    return padded
