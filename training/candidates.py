"""Stage `candidates`: the sources besides the transformer, and what the trees learn from.

Reads data/split, data/features, data/transformer; writes data/candidates: `sources/` (built from
events before the rank window only) and `rank.parquet`, one row per candidate of each rank-window
query.

    python -m training.candidates data/split data/features data/transformer data/candidates
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from base.outputs import replace_folder
from base.params import load
from features.items.catalogue import Catalogue
from features.requests.requests import Queries, Requests
from features.requests.training_set import load_catalogue, load_queries
from features.schema import DAY, POPULARITY_DAYS
from features.splits.windows import Windows
from training.judging import judge_by
from training.metrics.hits import hits
from training.rank_features import FEATURES
from training.recommender import Recommender
from training.retrieve import Scores, eligible_items, masked
from training.sources.build import Sources, SourceSettings, hash_items
from training.sources.neighbours import build_neighbours
from training.sources.popularity import popularity_scores


@dataclass(frozen=True)
class CandidateParams:
    """Section `candidates`."""

    neighbours: int = 50
    """Similar items kept for each item."""

    shrinkage: float = 2.0
    """Added to the product of norms of two items: the higher, the more evidence a pair needs."""

    half_life_days: float = 30.0
    """Age at which an event counts half towards similarity."""

    per_source: int = 25
    """Candidates taken from each source."""

    recent: int = 30
    """Entries of the history that neighbours and content look at."""

    half_life: float = 5.0
    """Entries after which the weight of a history entry halves."""

    fresh_days: float = 7.0
    """An item older than this is not fresh."""


def build_sources(
    split: Path, catalogue: Catalogue, queries: Queries, params: CandidateParams
) -> Sources:
    """Neighbours from what was known before the rank window; popularity window tuned on it."""
    windows = Windows.read(split / "windows.json")
    events = pq.read_table(
        split / "events.parquet", columns=["user", "item", "timestamp", "received_at"]
    )
    user, item, timestamp, received_at = (column.to_numpy() for column in events.columns)
    kept = (timestamp < windows.fit_end) & (received_at < windows.fit_end)
    trained = int(item[kept].max(initial=-1)) + 1
    settings = SourceSettings(
        popularity_days=best_popularity(queries, catalogue),
        per_source=params.per_source,
        recent=params.recent,
        half_life=params.half_life,
        fresh_days=params.fresh_days,
        trained_items=trained,
        trained_hash=hash_items(catalogue, trained),
    )
    ages = (windows.fit_end - timestamp[kept]) / DAY
    neighbours = build_neighbours(
        user[kept],
        item[kept],
        ages,
        trained,
        params.neighbours,
        params.shrinkage,
        params.half_life_days,
    )
    return Sources(settings, neighbours)


def best_popularity(queries: Queries, catalogue: Catalogue, k: int = 10) -> int:
    """The window of POPULARITY_DAYS with the best NDCG on `queries`; the shortest of equals."""
    if len(queries) == 0:
        return POPULARITY_DAYS[len(POPULARITY_DAYS) // 2]

    def ndcg(days: int) -> float:
        def scores(requests: Requests) -> Scores:
            eligible = eligible_items(catalogue, requests, repeats=False)
            return masked(popularity_scores(requests, days), eligible)

        judged = judge_by(queries, scores, k, len(catalogue))
        return float(judged.metrics[f"ndcg@{k}"].mean())

    found = {days: ndcg(days) for days in POPULARITY_DAYS}
    return max(POPULARITY_DAYS, key=lambda days: (found[days], -days))


def candidate_table(recommender: Recommender, organic: Queries, slates: Queries) -> pa.Table:
    """Rows of `rank.parquet`: query, kind, item, label, position, timestamp, then FEATURES.

    Groups whose target was not retrieved are left out. Position is 0 for organic groups and the
    place in the slate, from 1, for slates.
    """
    tables = []
    if len(organic):
        ranked = recommender.rank(organic.requests)
        places = np.zeros(ranked.candidates.shape, dtype=np.int32)
        tables.append(_rows(organic, "organic", ranked.candidates, places, ranked.features))
    if len(slates):
        shown, places = _padded(slates)
        features = recommender.describe(slates.requests, shown)
        tables.append(_rows(slates, "slate", shown, places, features))
    return pa.concat_tables(tables) if tables else _rows_schema().empty_table()


def _padded(slates: Queries) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Shown items and their positions from 1, int32 [n, longest slate], -1 pad."""
    lengths = slates.shown.lengths
    shown = np.full((len(slates), int(lengths.max(initial=0))), -1, dtype=np.int32)
    column = np.arange(shown.shape[1])
    present = column[None, :] < lengths[:, None]
    shown[present] = slates.shown.items
    return shown, np.where(present, column + 1, 0).astype(np.int32)


def _rows_schema() -> pa.Schema:
    fields = [
        ("query", pa.int32()),
        ("kind", pa.string()),
        ("item", pa.int32()),
        ("label", pa.int8()),
        ("position", pa.int32()),
        ("timestamp", pa.int64()),
    ]
    return pa.schema(fields + [(name, pa.float32()) for name in FEATURES])


def _rows(
    queries: Queries,
    kind: str,
    items: npt.NDArray[np.int32],
    places: npt.NDArray[np.int32],
    features: npt.NDArray[np.float32],
) -> pa.Table:
    labels = hits(items, queries.targets)
    retrieved = labels.any(axis=1, keepdims=True)
    kept = (items >= 0) & retrieved
    rows = np.nonzero(kept)[0]
    columns = [
        rows.astype(np.int32),
        pa.array([kind] * len(rows), pa.string()),
        items[kept],
        labels[kept].astype(np.int8),
        places[kept],
        queries.requests.timestamps[rows],
        *np.ascontiguousarray(features[kept].T),
    ]
    return pa.table(columns, schema=_rows_schema())


def main(split: Path, features: Path, transformer: Path, out: Path) -> None:
    """Build the sources, rank the rank window, write both."""
    params = load(CandidateParams, "candidates")
    catalogue = load_catalogue(split, "rank_items")
    organic = load_queries(split, features, "rank", "organic")
    slates = load_queries(split, features, "rank", "slate")
    sources = build_sources(split, catalogue, organic, params)
    with replace_folder(out) as folder:
        sources.save(folder / "sources")
        recommender = Recommender.assemble(catalogue, folder / "sources", transformer, None)
        table = candidate_table(recommender, organic, slates)
        pq.write_table(table, folder / "rank.parquet", compression="lz4", use_dictionary=False)
    print(f"candidates: {table.num_rows} rows, popularity of {sources.settings.popularity_days} d")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
