"""Small real releases: random weights, real files, made in a second."""

import json
from dataclasses import asdict
from pathlib import Path

import lightgbm
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from features.items.catalogue import Catalogue
from features.schema import DAY, EVENT_CODES, ITEM
from features.splits.placements import PlacementsParams
from serving import golden
from serving.policy import PolicyParams
from serving.release import seal
from tests.training import market
from training.prior import Prior
from training.rank_features import FEATURES
from training.ranker import Ranker
from training.recommender import Recommender
from training.transformer import artefact
from training.transformer.model import ModelConfig, Transformer

NOW = market.NOW
TRAINED = market.ITEMS - 10


def items(count: int = market.ITEMS) -> pa.Table:
    """`schema.ITEM` rows i0, i1, …; i3 is not available."""
    rows = [
        {
            "item_id": f"i{n}",
            "title": f"Title {n % 7} number {n}",
            "categories": [f"c{n % 4}"],
            "price": 1.0 + n,
            "available": n != 3,
            "created_at": NOW - 30 * DAY,
            "received_at": NOW - 30 * DAY,
        }
        for n in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=ITEM)


def make_release(
    folder: Path,
    seed: int = 1,
    policy: PolicyParams | None = None,
    trees: bool = True,
    history_length: int = 200,
) -> str:
    """A release with every part; another seed gives other scores. Returns its id."""
    folder.mkdir(parents=True)
    table = items()
    catalogue = Catalogue.from_table(table)
    market.sources(catalogue).save(folder / "sources")
    torch.manual_seed(seed)
    config = ModelConfig(
        vocabulary=TRAINED, embedding_size=16, num_layers=1, num_heads=2, max_length=32
    )
    (folder / "transformer").mkdir()
    artefact.save(
        folder / "transformer",
        config,
        Transformer(config).state_dict(),
        torch.arange(TRAINED, dtype=torch.int32),
        catalogue.item_ids,
    )
    if trees:
        Ranker(_booster(seed), Prior(("content_z",), (0.0,), (1.0,), (0.5,)), FEATURES).save(
            folder / "trees"
        )
    pq.write_table(table, folder / "items.parquet")
    rules = {
        "policy": asdict(policy or PolicyParams()),
        "placements": asdict(PlacementsParams()),
        "history_length": history_length,
        "min_rating": 0.0,
    }
    (folder / "policy.json").write_text(json.dumps(rules))
    (folder / "lineage.json").write_text(json.dumps({"seed": seed}))
    requests = golden.choose(market.requests(market.random_lists(12)))
    golden.write(folder, Recommender.load(folder, catalogue), requests)
    return seal(folder)


def _booster(seed: int) -> lightgbm.Booster:
    random = np.random.default_rng(seed)
    features = random.normal(size=(400, len(FEATURES)))
    labels = features @ random.normal(size=len(FEATURES))
    settings = {"objective": "regression", "num_leaves": 7, "verbosity": -1, "num_threads": 1}
    return lightgbm.train(settings, lightgbm.Dataset(features, labels), num_boost_round=10)


def click(user_id: str, item_id: str, timestamp: int, event_id: str) -> dict[str, object]:
    return {
        "event_id": event_id,
        "user_id": user_id,
        "item_id": item_id,
        "event_type": "click",
        "timestamp": timestamp,
    }


CLICK = EVENT_CODES["click"]
