"""Alter the trees of a trained ranker, as LightGBM stores them (`model.txt`)."""

import re
from itertools import pairwise
from pathlib import Path

import lightgbm
import numpy as np

from base.arrays import Float32s, Float64s
from training.rank_features import FEATURES


def graft(model: Path, trees: list[str]) -> None:
    """Add `trees` to the model in the file `model`."""
    head, own, tail = _parts(model.read_text())
    every = [
        re.sub(r"^Tree=\d+", f"Tree={number}", tree) for number, tree in enumerate([*own, *trees])
    ]
    sizes = " ".join(str(len(tree)) for tree in every)
    head = re.sub(r"tree_sizes=.*", f"tree_sizes={sizes}", head)
    model.write_text(head + "".join(every) + tail)


def trees_for(features: Float32s, target: Float64s, rounds: int = 40) -> list[str]:
    """Trees that give each row of `features`, [rows, len(FEATURES)], about `target`, [rows]."""
    data = lightgbm.Dataset(features, label=target, feature_name=list(FEATURES))
    settings = {
        "objective": "regression", "num_leaves": 31, "min_data_in_leaf": 5, "learning_rate": 0.3,
        "verbosity": -1, "num_threads": 1, "boost_from_average": False, "seed": 1,
    }  # fmt: skip
    return _parts(lightgbm.train(settings, data, rounds).model_to_string())[1]


def idle_trees(model: Path, count: int) -> list[str]:
    """Copies of the first tree of `model` that add nothing to any score."""
    first = _parts(model.read_text())[1][0]
    leaves = int(re.findall(r"num_leaves=(\d+)", first)[0])
    idle = re.sub(r"(?m)^leaf_value=.*", "leaf_value=" + " ".join(["0"] * leaves), first)
    return [idle] * count


def _parts(text: str) -> tuple[str, list[str], str]:
    """What stands before the trees, each tree, and what stands after them."""
    begin, end = text.index("Tree=0"), text.index("end of trees")
    sizes = np.cumsum([0, *map(int, re.findall(r"tree_sizes=(.*)", text)[0].split())])
    body = text[begin:end]
    trees = [body[a:b] for a, b in pairwise(sizes)]
    return text[:begin], trees, text[end:]
