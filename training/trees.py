"""Stage `trees`: LightGBM LambdaRank over the rank window's candidates.

Reads data/candidates; writes data/trees (`model.txt`, `features.json`) and metrics.

    python -m training.trees data/candidates data/trees data/metrics/trees.json

Burges, "From RankNet to LambdaRank to LambdaMART" (2010). Slates are groups of their own; the
place of an item in its slate goes into LightGBM's `position` field, which learns a bias for each
place and removes it (Hu et al., "Unbiased LambdaMART", 2019). Organic groups share place 0.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from features.params import load
from features.stage import replace_folder, stage_guard
from training.rank_features import FEATURES
from training.ranker import Ranker


@dataclass(frozen=True)
class TreeParams:
    """Section `trees`."""

    seed: int = 1
    """Of feature and row sampling."""

    num_leaves: int = 15
    """Leaves of a tree: few, the rank window is short."""

    min_data_in_leaf: int = 100
    """Candidates in a leaf at least."""

    learning_rate: float = 0.05
    """Shrinkage of each tree."""

    max_trees: int = 300
    """Trees at most; the tail of the window stops earlier."""

    patience: int = 30
    """Trees without a better tail before stopping."""

    reg: float = 10.0
    """L2 penalty on leaf values."""

    feature_fraction: float = 0.5
    """Share of the features that each tree may use."""

    tail: float = 0.2
    """Share of the organic groups, the newest, that decides when to stop."""

    slate_weight: float = 0.2
    """Weight of a slate's candidates beside an organic group's; 0 leaves slates out."""

    threads: int = 2
    """Fixed, so that sums have one order."""


@dataclass(frozen=True)
class Groups:
    """Candidates in groups: features [rows, F], label, position, weight [rows], sizes [groups]."""

    features: npt.NDArray[np.float32]
    label: npt.NDArray[np.int8]
    position: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    sizes: npt.NDArray[np.int64]

    def dataset(self, reference: lightgbm.Dataset | None = None) -> lightgbm.Dataset:
        """As LightGBM takes it."""
        return lightgbm.Dataset(
            self.features,
            label=self.label,
            group=self.sizes,
            weight=self.weight,
            position=self.position,
            reference=reference,
            feature_name=list(FEATURES),
            free_raw_data=False,
        )


def groups(table: pa.Table, rows: npt.NDArray[np.bool_], params: TreeParams) -> Groups:
    """Of rows of `rank.parquet`."""
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
    """Trees and their metrics. The tail decides how many; then all of the window is used.

    Raises ValueError when there is no organic group to learn from.
    """
    slate = _is_slate(table)
    times = table["timestamp"].to_numpy()
    if slate.all():
        raise ValueError("no organic query of the rank window had its target retrieved")
    cut = np.quantile(_group_times(table, ~slate), 1.0 - params.tail, method="higher")
    usable = ~slate | (params.slate_weight > 0)
    head = groups(table, usable & (times < cut), params)
    tail = groups(table, ~slate & (times >= cut), params)
    settings = _settings(params)
    trees = params.max_trees // 3
    best = {"trees": float(trees)}
    if len(head.sizes) and len(tail.sizes):
        training = head.dataset()
        booster = lightgbm.train(
            settings,
            training,
            num_boost_round=params.max_trees,
            valid_sets=[tail.dataset(training)],
            callbacks=[lightgbm.early_stopping(params.patience, verbose=False)],
        )
        trees = max(booster.best_iteration, 1)
        best = {"trees": float(trees), "tail_ndcg@10": booster.best_score["valid_0"]["ndcg@10"]}
    everything = groups(table, usable, params)
    booster = lightgbm.train(settings, everything.dataset(), num_boost_round=trees)
    return Ranker(booster, FEATURES), best | {
        "organic_groups": float(len(_group_times(table, ~slate))),
        "slate_groups": float(len(_group_times(table, slate))),
    }


def _is_slate(table: pa.Table) -> npt.NDArray[np.bool_]:
    return np.asarray(table["kind"].to_numpy(zero_copy_only=False) == "slate", dtype=np.bool_)


def _group_times(table: pa.Table, rows: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    query, first = np.unique(table["query"].to_numpy()[rows], return_index=True)
    return np.asarray(table["timestamp"].to_numpy()[rows][first][: len(query)], dtype=np.int64)


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
        "deterministic": True,
        "force_row_wise": True,
        "verbosity": -1,
    }


def main(candidates: Path, out: Path, metrics_path: Path) -> None:
    """Fit, save, report."""
    params = load(TreeParams, "trees")
    ranker, metrics = fit(pq.read_table(candidates / "rank.parquet"), params)
    with replace_folder(out) as folder:
        ranker.save(folder)
    metrics_path.parent.mkdir(parents=True, exist_ok=True)
    metrics_path.write_text(json.dumps(metrics, indent=2) + "\n")
    print(f"trees: {metrics}")


if __name__ == "__main__":
    with stage_guard():
        main(*(Path(argument) for argument in sys.argv[1:]))
