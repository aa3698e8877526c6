"""Slates that a release serves to the users of `rivals`, as the split would store them."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from base.arrays import Float64s
from features.batch.snapshots import Snapshots
from features.requests import context
from features.requests.requests import Requests
from features.requests.training_set import load_catalogue, load_queries
from features.schema import USER_FEATURES
from flows.workspace import Workspace
from serving.policy import PolicyParams, draw
from tests.flows.rivals import TOPICS
from training.recommender import Recommender

SLOTS = 5
LOOKS: Float64s = np.arange(1.0, SLOTS + 1) ** -0.6
POLICY = PolicyParams()


def serve(place: Workspace, release: Path, times: int, policy: PolicyParams = POLICY) -> None:
    """Replace the slates of the judge window: `release` answers every judged request `times` times,
    drawn by `policy`, and users click on items of their topic that they look at."""
    data = place.root / "data"
    catalogue = load_catalogue(data / "split")
    requests = load_queries(data / "split", data / "features", "judge", "organic").requests
    rows = np.tile(np.arange(len(requests)), times)
    recommender = Recommender.load(release, catalogue)
    requests = requests.select(rows)
    ranked, eligible = recommender.rank(requests), recommender.eligible(requests)
    generator = np.random.default_rng(3)
    drawn = draw(
        ranked.scores,
        ranked.candidates,
        eligible,
        SLOTS,
        policy,
        generator.random((len(rows), SLOTS)),
        catalogue.categories,
    )
    topic = np.array([int(item[1:]) % TOPICS for item in catalogue.item_ids])
    own = np.array([int(user[1:]) % TOPICS for user in requests.user_ids])
    liked = np.where(topic[drawn.items] == own[:, None], 0.6, 0.05)
    clicks = (generator.random(liked.shape) < LOOKS * liked).astype(np.int8)
    empty = pq.read_table(data / "split" / "slates.parquet")
    users = pq.read_table(data / "split" / "users.parquet")["user_id"].to_pylist()
    held = Snapshots.read(data / "features").held(requests.timestamps)
    stored = [
        {
            "window": "judge",
            "request_id": f"r{number}",
            "user": users.index(requests.user_ids[number]),
            "timestamp": int(requests.timestamps[number]),
            "placement": "home",
            "release": "champion",
            "source": recommender.order,
            "items": drawn.items[number].tolist(),
            "propensities": drawn.propensities[number].tolist(),
            "clicks": clicks[number].tolist(),
            "carts": [0] * SLOTS,
            "purchases": [0] * SLOTS,
            "given": 0,
            "open": False,
            "context": _context(
                requests, number, catalogue.item_ids, ranked.candidates[number],
                ranked.scores[number], int(eligible[number].sum()), int(held[number]),
                policy,
            ),
        }
        for number in range(len(rows))
    ]  # fmt: skip
    table = pa.Table.from_pylist(stored, schema=empty.schema)
    pq.write_table(table, data / "split" / "slates.parquet")


def _context(
    requests: Requests, row: int, ids: object, candidates: object, scores: object,
    eligible: int, features_at: int, policy: PolicyParams,
) -> bytes:  # fmt: skip
    names, found, given = np.asarray(ids), np.asarray(candidates), np.asarray(scores)
    histories = requests.histories
    part = slice(histories.offsets[row], histories.offsets[row + 1])
    counts = slice(requests.impressed.offsets[row], requests.impressed.offsets[row + 1])
    alive = (found >= 0) & np.isfinite(given)
    plain = {
        "user_id": requests.user_ids[row],
        "placement": "home",
        "timestamp": int(requests.timestamps[row]),
        "k": SLOTS,
        "exclude": [],
        "user_feature_names": USER_FEATURES,
        "features_at": features_at,
        "eligible": eligible,
        "catalogue_items": len(names),
        "catalogue_sequence": 0,
        "repeats": False,
        "policy": asdict(policy),
    }
    arrays = {
        "history_items": histories.items[part],
        "history_types": histories.event_types[part],
        "history_timestamps": histories.timestamps[part],
        "hidden": requests.hidden[row],
        "impressed": requests.impressed[row],
        "impressed_counts": requests.impressed_counts[counts],
        "user_features": requests.user_features[row],
        "candidates": found[alive],
        "scores": given[alive],
    }
    return context.encode(plain, arrays, names, context.Vocabulary.of(names))
