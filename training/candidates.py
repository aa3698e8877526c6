r"""Stage `candidates`: combine the fitted sources, and make the training data of the trees.

Reads data/split, data/features, data/transformer and data/sources. Writes data/candidates:
`sources/` (fitted only on events before the rank window) and `rank.parquet`, with one row per
candidate of each query of the rank window.

    python -m training.candidates data/split data/features data/transformer data/sources \
        data/candidates
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.arrays import Float32s, Int32s
from base.outputs import replace_folder
from base.params import Float, Int, load
from features.requests.requests import Queries
from features.requests.slates import Slates, load_slates
from features.requests.training_set import load_catalogue, load_queries
from training.as_served import shown_features
from training.metrics.hits import hits
from training.rank_features import FEATURES
from training.recommender import Recommender
from training.sources.all import SOURCES
from training.sources.fitted import Sources, SourceSettings
from training.sources.log import Log
from training.sources.source import Source
from training.sources.stage import section
from training.sources.transformer import TransformerSource


@dataclass(frozen=True)
class CandidateParams:
    """Section `candidates`."""

    per_source: Int = 25
    """Candidates taken from each source."""

    recent: Int = 30
    """Newest entries of a history that the sources neighbours and content use."""

    half_life: Float = 5.0
    """The weight of a history entry halves after this many newer entries."""


def gather(
    split: Path, features: Path, transformer: Path, sources: Path, params: CandidateParams
) -> Sources:
    """Load the fitted sources from the folders of the stages that fitted them.

    The transformer is left out if it is absent. Sources that have nothing to learn are created
    here.
    """
    log = Log(split, features)
    until = log.windows().fit_end
    trained = log.events(until).known_items
    parts: list[Source] = []
    for source in SOURCES:
        if source is TransformerSource:
            if transformer.exists():
                parts.append(source.load(transformer))
        elif source.stage is not None:
            parts.append(source.load(sources / source.name))
        else:
            parts.append(source.fit(log, until, section(source)))
    settings = SourceSettings.of(
        load_catalogue(split, "rank_items"),
        trained,
        per_source=params.per_source,
        recent=params.recent,
        half_life=params.half_life,
    )
    return Sources(settings, tuple(parts))


def candidate_table(
    recommender: Recommender,
    organic: Queries,
    slates: Queries,
    request_ids: Sequence[str],
    served: Slates,
) -> pa.Table:
    """The rows of `rank.parquet`: query, kind, item, label, position, timestamp, then FEATURES.

    Groups whose target was not retrieved are left out. Position is 0 for organic groups, and the
    place in the slate (from 1) for slates. request_ids: of `slates`; served: see `shown_features`.
    """
    tables = []
    if len(organic):
        ranked = recommender.rank(organic.requests)
        places = np.zeros(ranked.candidates.shape, dtype=np.int32)
        tables.append(_rows(organic, "organic", ranked.candidates, places, ranked.features))
    if len(slates):
        shown, places = _padded(slates)
        features = shown_features(recommender, slates, request_ids, shown, served)
        tables.append(_rows(slates, "slate", shown, places, features))
    return pa.concat_tables(tables) if tables else _rows_schema().empty_table()


def _request_ids(split: Path) -> list[str]:
    """Of the slate queries of the rank window, in order."""
    queries = pq.read_table(split / "queries.parquet")
    rows = (pc.field("window") == "rank") & (pc.field("kind") == "slate")
    ids: list[str] = queries.filter(rows)["request_id"].to_pylist()
    return ids


def _padded(slates: Queries) -> tuple[Int32s, Int32s]:
    """Shown items and their positions (from 1), int32 [n, longest slate], padded with -1."""
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
    items: Int32s,
    places: Int32s,
    features: Float32s,
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


def main(split: Path, features: Path, transformer: Path, sources: Path, out: Path) -> None:
    """Combine the sources, retrieve candidates for the rank window, and write both."""
    params = load(CandidateParams, "candidates")
    organic = load_queries(split, features, "rank", "organic")
    slates = load_queries(split, features, "rank", "slate")
    request_ids = _request_ids(split)
    served = load_slates(split, features, "rank", request_ids)
    parts = gather(split, features, transformer, sources, params)
    recommender = Recommender(load_catalogue(split, "rank_items"), parts, None)
    with replace_folder(out) as folder:
        parts.save(folder / "sources")
        table = candidate_table(recommender, organic, slates, request_ids, served)
        pq.write_table(table, folder / "rank.parquet", compression="lz4", use_dictionary=False)
    print(f"candidates: {table.num_rows} rows of {', '.join(part.name for part in parts.parts)}")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
