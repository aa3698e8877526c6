"""Stage `trees`: LightGBM LambdaRank on the candidates of the rank window.

Reads data/candidates. Writes data/trees (`model.txt`, `features.json`, `prior.json`) and metrics.

    python -m training.trees data/candidates data/trees data/metrics/trees.json

Burges, "From RankNet to LambdaRank to LambdaMART" (2010). Each slate is a group of its own. An
item's place in its slate goes into LightGBM's `position` field, which learns a bias for each place
and removes it (Hu et al., "Unbiased LambdaMART", 2019). Organic groups all have place 0.

The trees start from a linear prior (`training/prior.py`). With few groups, trees alone are worse
than the transformer; with the prior they rarely are. Sources' scores may only raise a candidate
(monotone).
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from base.arrays import Bools, Float32s, Int8s, Int32s, Int64s
from base.outputs import replace_folder
from base.params import Float, Int, load
from training.prior import Prior
from training.prior_fit import fit_prior
from training.rank_features import FEATURES, RISING
from training.ranker import Ranker


@dataclass(frozen=True)
class TreeParams:
    """Section `trees`."""

    seed: Int = 1
    """Seed of the sampling of features and rows."""

    num_leaves: Int = 7
    """Leaves per tree. Few, because the rank window is short."""

    min_data_in_leaf: Int = 300
    """Minimum number of candidates in a leaf."""

    learning_rate: Float = 0.03
    """Shrinkage of each tree."""

    max_trees: Int = 150
    """Largest number of trees. The tail of the window usually stops training earlier."""

    patience: Int = 20
    """Training stops after this many trees without a better result on the tail."""

    reg: Float = 30.0
    """L2 penalty on leaf values."""

    feature_fraction: Float = 0.5
    """Share of the features that each tree may use."""

    prior_reg: Float = 30.0
    """Pull of the linear prior towards the transformer alone, measured in groups of evidence."""

    tail: Float = 0.2
    """Share of the organic groups, taken from the newest, that decides when to stop."""

    slate_weight: Float = 0.1
    """Weight of a slate's candidates relative to an organic group's. 0 leaves slates out."""

    threads: Int = 1
    """Fixed, so that sums have one order.

    The data is small, and on a busy machine two threads would wait for each other.
    """


@dataclass(frozen=True)
class Groups:
    """Candidates in groups.

    features: [rows, F]; label, position, weight: [rows]; sizes: [groups].
    """

    features: Float32s
    label: Int8s
    position: Int32s
    weight: Float32s
    sizes: Int64s

    def dataset(self, prior: Prior, reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        """As a LightGBM dataset that starts from the prior's scores."""
        return lightgbm.Dataset(
            self.features,
            label=self.label,
            group=self.sizes,
            weight=self.weight,
            position=self.position,
            init_score=prior.scores(self.features),
            reference=reference,
            feature_name=list(FEATURES),
            free_raw_data=False,
        )


def groups(table: pa.Table, rows: Bools, params: TreeParams) -> Groups:
    """The groups in rows of `rank.parquet`."""
    chosen = table.filter(pa.array(rows))
    slate = _is_slate(chosen)
    key = chosen["query"].to_numpy().astype(np.int64) * 2 + slate
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    sizes = np.diff(np.append(starts, len(key)))
    features = np.stack([chosen[name].to_numpy() for name in FEATURES], axis=1)
    weight = np.where(slate, params.slate_weight, 1.0).astype(np.float32)
    return Groups(
        features,
        chosen["label"].to_numpy(),
        chosen["position"].to_numpy(),
        weight,
        sizes,
    )


def fit(table: pa.Table, params: TreeParams) -> tuple[Ranker, dict[str, float]]:
    """Fit prior and trees, and return them with metrics.

    The tail decides the number of trees; then all data is used. Raises ValueError if there is no
    organic group to learn from.
    """
    slate = _is_slate(table)
    if slate.all():
        raise ValueError("no organic query of the rank window had its target retrieved")
    times = table["timestamp"].to_numpy()
    usable = ~slate | (params.slate_weight > 0)
    starts = _group_times(table, ~slate)
    cut = np.quantile(starts, 1.0 - params.tail, method="higher")
    trees = params.max_trees // 10
    best: dict[str, float] = {}
    early = times < cut
    if (early & ~slate).any() and (~early & ~slate).any():
        trees, best = _count_trees(table, early, slate, usable, params)
    prior = _prior(groups(table, ~slate, params), params)
    data = groups(table, usable, params).dataset(prior)
    booster = lightgbm.train(_settings(params), data, num_boost_round=trees)
    weights = dict(zip((f"prior_{name}" for name in prior.inputs), prior.weight, strict=True))
    counts = {"organic_groups": len(starts), "slate_groups": len(_group_times(table, slate))}
    return Ranker(booster, prior, FEATURES), {"trees": trees} | best | counts | weights


def _count_trees(
    table: pa.Table,
    early: Bools,
    slate: Bools,
    usable: Bools,
    params: TreeParams,
) -> tuple[int, dict[str, float]]:
    """The number of trees that is best for the tail, when trained on the data before it."""
    prior = _prior(groups(table, early & ~slate, params), params)
    data = groups(table, early & usable, params).dataset(prior)
    tail = groups(table, ~early & ~slate, params).dataset(prior, data)
    booster = lightgbm.train(
        _settings(params),
        data,
        num_boost_round=params.max_trees,
        valid_sets=[tail],
        callbacks=[lightgbm.early_stopping(params.patience, verbose=False)],
    )
    tail_ndcg = float(booster.best_score["valid_0"]["ndcg@10"])
    return max(booster.best_iteration, 1), {"tail_ndcg@10": tail_ndcg}


def _prior(organic: Groups, params: TreeParams) -> Prior:
    return fit_prior(organic.features, organic.label, organic.sizes, params.prior_reg)


def _is_slate(table: pa.Table) -> Bools:
    return np.asarray(table["kind"].to_numpy(zero_copy_only=False) == "slate", dtype=np.bool_)


def _group_times(table: pa.Table, rows: Bools) -> Int64s:
    """Timestamp of each group among `rows`, int64 [groups]."""
    _, first = np.unique(table["query"].to_numpy()[rows], return_index=True)
    return np.asarray(table["timestamp"].to_numpy()[rows][first], dtype=np.int64)


def _settings(params: TreeParams) -> dict[str, object]:
    return {
        "objective": "lambdarank",
        "metric": "ndcg",
        "eval_at": [10],
        "lambdarank_truncation_level": 20,
        "num_leaves": params.num_leaves,
        "min_data_in_leaf": params.min_data_in_leaf,
        "learning_rate": params.learning_rate,
        "lambda_l2": params.reg,
        "feature_fraction": params.feature_fraction,
        "seed": params.seed,
        "num_threads": params.threads,
        "monotone_constraints": [int(name in RISING) for name in FEATURES],
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def main(candidates: Path, out: Path, metrics_path: Path) -> None:
    """Fit, save and report."""
    params = load(TreeParams, "trees")
    ranker, metrics = fit(pq.read_table(candidates / "rank.parquet"), params)
    with replace_folder(out) as folder:
        ranker.save(folder)
    metrics_path.parent.mkdir(parents=True, exist_ok=True)
    metrics_path.write_text(json.dumps(metrics, indent=2) + "\n")
    print(
        f"trees: {metrics['trees']} trees on {metrics['organic_groups']} organic groups and "
        f"{metrics['slate_groups']} slates"
    )


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:]))
