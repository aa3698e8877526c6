r"""Stage `evaluate`: judge the challenger and all simpler systems on the judge window.

Reads data/split, data/features, data/transformer, data/candidates and data/trees. Writes
data/evaluation (`evidence.json`) and metrics.

    python -m training.evaluate data/split data/features data/transformer data/candidates \
        data/trees data/evaluation data/metrics/evaluate.json
"""

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from base.arrays import Bools, Float64s, Int32s
from base.outputs import replace_folder
from base.params import load, read
from features.items.catalogue import Catalogue
from features.people.counted import COUNTED, OF_PEOPLE
from features.people.counts import count
from features.requests.requests import Queries
from features.requests.training_set import load_catalogue, load_queries
from features.splits.windows import Windows
from training import limits
from training.comparing import compare_slices, distinct_items, share_of
from training.evidence import Evidence
from training.fingerprint import fingerprint
from training.judging import EvaluateParams, Judged, beyond_accuracy, judge_by, judge_scores
from training.recommender import Recommender
from training.slices import slices


def judge_all(recommender: Recommender, queries: Queries, k: int) -> dict[str, Judged]:
    """Judge `served` and, for comparison, each source with `judged`, on the same queries."""
    ranked = recommender.rank(queries.requests)
    judged = {"served": judge_scores(queries, ranked.scores, k, ranked.candidates)}
    for source in recommender.sources.parts:
        if source.judged:
            scores = partial(recommender.scores_of, source.name)
            judged[source.name] = judge_by(queries, scores, k, len(recommender.catalogue))
    return judged


def gather_evidence(
    judged: dict[str, Judged],
    queries: Queries,
    catalogue: Catalogue,
    new_items: Bools,
    windows: Windows,
    code: str,
    data: dict[str, float],
    params: EvaluateParams,
) -> Evidence:
    """The evidence on the challenger. The flow adds the comparison with the champion."""
    metric = f"ndcg@{params.k}"
    served = judged["served"]
    parts = slices(queries, new_items)
    return Evidence(
        windows=windows,
        cutoff=windows.rank_end,
        fingerprint=code,
        metric=metric,
        users=len(np.unique(queries.users)),
        queries=len(queries),
        metrics={
            system: {name: result.interval(name, params.seed) for name in result.metrics}
            for system, result in judged.items()
        },
        differences={
            system: served.minus(result, metric, params.seed, confidence=params.confidence)
            for system, result in judged.items()
            if system != "served"
        },
        slices=compare_slices(
            served, judged["popularity"], metric, parts, params.seed, params.confidence
        ),
        output=list_numbers(served.lists, catalogue)
        | {
            "new_share": share_of(new_items, served.lists),
            "new_demand": float(new_items[queries.targets.items].mean()) if len(queries) else 0.0,
            "new_supply": float(new_items.mean()) if len(new_items) else 0.0,
        },
        data=data,
    )


def list_numbers(lists: Int32s, catalogue: Catalogue) -> dict[str, float]:
    """What `limits.LISTS` measures on lists, int32 [n, k], and their number of different items.

    Empty if there are no lists.
    """
    if not len(lists):
        return {}
    numbers = {limit.name: measure(lists, catalogue) for limit, measure in limits.LISTS}
    return numbers | {"distinct_items": distinct_items(lists)}


def data_checks(split: Path) -> dict[str, float]:
    """The number of positive events of people. The retrain flow adds checks of recent data."""
    events = pq.read_table(split / "events.parquet", columns=["user"], filters=OF_PEOPLE)
    return {"events": float(events.num_rows)}


def summary(
    evidence: Evidence,
    judged: dict[str, Judged],
    catalogue: Catalogue,
    counts: Float64s,
) -> dict[str, object]:
    """The content of the metrics file: means by system, paired differences, and properties of
    the lists."""
    return {
        "users": evidence.users,
        "queries": evidence.queries,
        **{
            system: {name: round(value.mean, 6) for name, value in metrics.items()}
            | {
                name: round(value, 6)
                for name, value in beyond_accuracy(judged[system].lists, catalogue, counts).items()
            }
            for system, metrics in evidence.metrics.items()
        },
        "differences": {
            f"served-{system}": {k: round(v, 6) for k, v in asdict(difference).items()}
            for system, difference in evidence.differences.items()
        },
    }


def main(
    split: Path,
    features: Path,
    transformer: Path,
    candidates: Path,
    trees: Path,
    out: Path,
    metrics_path: Path,
) -> None:
    """Judge every system on the judge window and write the evidence."""
    params = load(EvaluateParams, "evaluate")
    catalogue = load_catalogue(split)
    queries = load_queries(split, features, "judge", "organic")
    recommender = Recommender.assemble(catalogue, candidates / "sources", transformer, trees)
    judged = judge_all(recommender, queries, params.k)
    windows = Windows.read(split / "windows.json")
    events = pq.read_table(split / "events.parquet", columns=["item", "timestamp"], filters=COUNTED)
    before = events["timestamp"].to_numpy() < windows.rank_end
    counts = np.bincount(events["item"].to_numpy()[before], minlength=len(catalogue))
    evidence = gather_evidence(
        judged,
        queries,
        catalogue,
        recommender.new_items,
        windows,
        fingerprint(read()),
        data_checks(split),
        params,
    )
    metrics = summary(evidence, judged, catalogue, counts.astype(np.float64))
    evidence = evidence.model_copy(update={"set_aside": count(split)})
    with replace_folder(out) as folder:
        plain = json.dumps(evidence.model_dump(mode="json"), indent=2, sort_keys=True)
        (folder / "evidence.json").write_text(plain + "\n")
    metrics_path.parent.mkdir(parents=True, exist_ok=True)
    metrics_path.write_text(json.dumps(metrics, indent=2) + "\n")
    served = evidence.metrics["served"][evidence.metric].mean
    print(f"evaluate: served {evidence.metric} {served:.4f}, {evidence.differences}")


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
