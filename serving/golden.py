"""Golden requests: a few real requests, stored in a release with the scores that its models gave.

A process that loads the release must reproduce the scores. This proves that the service serves what
the gate judged.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from safetensors.numpy import load_file, save_file

from base.arrays import Int64s
from features.ragged import Histories, Ragged
from features.requests.requests import FIRST_ITEM_FEATURES, FIRST_USER_FEATURES, Requests, aligned
from features.schema import ITEM_FEATURES, USER_FEATURES
from training.recommender import Ranked, Recommender

COUNT: Final = 16
ARRAYS: Final = "golden.safetensors"
_SCORES: Final = "golden.json"


@dataclass(frozen=True)
class Golden:
    """Requests, each with its candidates (item ids) and their scores, best first."""

    requests: Requests
    candidates: list[list[str]]
    scores: list[list[float]]


def choose(requests: Requests) -> Requests:
    """At most COUNT evenly spaced requests that read the same snapshot of item features.

    The snapshot is stored with them. It is the one that most requests read, or the newest of
    several.
    """
    read = np.bincount(requests.snapshot, minlength=1)
    snapshot = len(read) - 1 - int(read[::-1].argmax())
    rows = np.flatnonzero(requests.snapshot == snapshot)
    places = np.linspace(0, len(rows) - 1, min(COUNT, len(rows))).astype(np.int64)
    chosen = requests.select(rows[places].astype(np.int64))
    features = requests.item_features[snapshot][None]
    return replace(
        chosen,
        item_features=np.ascontiguousarray(features),
        snapshot=np.zeros(len(chosen), dtype=np.int32),
    )


def write(folder: Path, recommender: Recommender, requests: Requests) -> None:
    """Rank `requests`, and store them with the result as golden.safetensors and golden.json."""
    arrays = {
        "timestamps": requests.timestamps,
        "history_offsets": requests.histories.offsets,
        "history_items": requests.histories.items,
        "history_types": requests.histories.event_types,
        "history_timestamps": requests.histories.timestamps,
        "user_features": requests.user_features,
        "impressed_offsets": requests.impressed.offsets,
        "impressed_items": requests.impressed.items,
        "impressed_counts": requests.impressed_counts,
        "item_features": requests.item_features[0][None],
        "hidden_offsets": requests.hidden.offsets,
        "hidden_items": requests.hidden.items,
    }
    save_file({k: np.ascontiguousarray(v) for k, v in arrays.items()}, folder / ARRAYS)
    candidates, scores = outcome(recommender, recommender.rank(requests))
    content = {
        "user_ids": [str(user_id) for user_id in requests.user_ids],
        "candidates": candidates,
        "scores": scores,
        "user_features": USER_FEATURES,
        "item_features": ITEM_FEATURES,
    }
    (folder / _SCORES).write_text(json.dumps(content, sort_keys=True) + "\n")


def read(folder: Path) -> Golden:
    """The golden requests of a release, with the features that this program knows."""
    content = json.loads((folder / _SCORES).read_text())
    a = load_file(folder / ARRAYS)
    requests = Requests.of(
        content["user_ids"],
        a["timestamps"],
        aligned(
            a["item_features"], content.get("item_features", FIRST_ITEM_FEATURES), ITEM_FEATURES
        ),
        histories=Histories(
            a["history_offsets"], a["history_items"], a["history_types"], a["history_timestamps"]
        ),
        user_features=aligned(
            a["user_features"], content.get("user_features", FIRST_USER_FEATURES), USER_FEATURES
        ),
        impressed=Ragged(a["impressed_offsets"], a["impressed_items"]),
        impressed_counts=a["impressed_counts"],
        hidden=Ragged(a["hidden_offsets"], a["hidden_items"]),
    )
    return Golden(requests, content["candidates"], content["scores"])


def outcome(recommender: Recommender, ranked: Ranked) -> tuple[list[list[str]], list[list[float]]]:
    """Candidates (item ids) and their scores, best first. Ties are ordered by index."""
    ids = recommender.catalogue.item_ids
    candidates, scores = [], []
    for row_items, row_scores in zip(ranked.candidates, ranked.scores, strict=True):
        order = np.lexsort((row_items, -row_scores))
        order = order[row_items[order] >= 0]
        candidates.append([str(item_id) for item_id in ids[row_items[order]]])
        scores.append([float(score) for score in row_scores[order]])
    return candidates, scores


def difference(golden: Golden, recommender: Recommender, ranked: Ranked) -> float:
    """Largest absolute difference of a score; infinite if the candidates differ or a score is not
    finite."""
    candidates, scores = outcome(recommender, ranked)
    worst = 0.0
    for ids, values, known_ids, known in zip(
        candidates, scores, golden.candidates, golden.scores, strict=True
    ):
        if sorted(ids) != sorted(known_ids):
            return float("inf")
        now = dict(zip(ids, values, strict=True))
        if not np.isfinite([*values, *known]).all():
            return float("inf")
        gaps: list[float] = [abs(now[i] - v) for i, v in zip(known_ids, known, strict=True)]
        worst = max([worst, *gaps])
    return worst


def one(requests: Requests, row: int) -> Requests:
    """One request by itself, as in the service."""
    rows: Int64s = np.array([row], dtype=np.int64)
    return requests.select(rows)
