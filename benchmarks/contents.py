"""The cost of letting a request of the past see the texts of its own moment.

    python -m benchmarks.contents --items 20000 --share 0 0 0.01 0.1 1 --requests 300

Uses a generated catalogue, of which a share changes text and categories once, at moments spread
over the requests. Computes sources, features and an untrained transformer of size 64, without
trees. Prints one line per share: CPU seconds of `Recommender.rank` over all requests, and the ratio
to the first share. In each of --rounds all shares take turns, and the ratio is the median over
rounds. A share given twice shows how precise the ratios are.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from scipy import sparse

from base.arrays import Float32s
from features.items.catalogue import Catalogue
from features.items.contents import Contents
from features.items.identity import digest
from features.items.past import Past
from features.items.text import TEXT_SIZE
from features.ragged import Histories, offsets_of
from features.requests.requests import Requests
from features.schema import DAY, HOUR, ITEM_FEATURES, USER_FEATURES
from training.recommender import Recommender
from training.sources.content import Content
from training.sources.fitted import Sources, SourceSettings
from training.sources.fresh import Fresh
from training.sources.neighbours import NeighbourParams, Neighbours, build_neighbours
from training.sources.popularity import Popularity
from training.sources.transformer import TransformerSource
from training.transformer.model import ModelConfig, Transformer
from training.transformer.scorer import Scorer

NOW = 20_000 * DAY
CATEGORIES = 50
LENGTH = 30


def texts(random: np.random.Generator, count: int) -> Float32s:
    rows = random.normal(size=(count, TEXT_SIZE)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def kinds(random: np.random.Generator, count: int) -> sparse.csr_matrix:
    one_each = random.integers(0, CATEGORIES, count)
    return sparse.csr_matrix(np.eye(CATEGORIES, dtype=np.float32)[one_each])


def made(items: int) -> Catalogue:
    """Items that never changed."""
    random = np.random.default_rng(1)
    return Catalogue(
        item_ids=np.array([f"i{n}" for n in range(items)], dtype=object),
        titles=np.array([""] * items, dtype=object),
        created_at=np.full(items, NOW - 90 * DAY),
        available=np.ones(items, dtype=np.bool_),
        price=np.ones(items, dtype=np.float32),
        categories=kinds(random, items),
        category_names=tuple(f"c{n:02d}" for n in range(CATEGORIES)),
        text=texts(random, items),
        past=Past.none(),
    )


def changed(catalogue: Catalogue, share: float) -> Catalogue:
    """The same catalogue, with a share of items that changed at some moment of the last day."""
    random = np.random.default_rng(2)
    items = np.sort(random.permutation(len(catalogue))[: round(share * len(catalogue))])
    if not len(items):
        return catalogue
    until = NOW - random.integers(0, DAY, len(items))
    always = np.full(len(items), np.iinfo(np.int64).min)
    older = Contents(items, always, until, kinds(random, len(items)), texts(random, len(items)))
    return replace(catalogue, older=older)


def recommender(catalogue: Catalogue) -> Recommender:
    random, size = np.random.default_rng(3), len(catalogue)
    settings = SourceSettings.of(catalogue, size, per_source=25, recent=30, half_life=5.0)
    users = np.sort(random.integers(0, size // 10, 10 * size)).astype(np.int32)
    chosen = random.integers(0, size, len(users)).astype(np.int32)
    ages = np.zeros(len(users))
    near = Neighbours(*build_neighbours(users, chosen, ages, size, NeighbourParams()))
    torch.manual_seed(1)
    config = ModelConfig(size, embedding_size=64, num_layers=2, num_heads=2, max_length=LENGTH)
    model = Transformer(config).eval().requires_grad_(False)
    known = digest(catalogue.item_ids)
    first = TransformerSource(Scorer(model, torch.arange(size), size, known))
    parts = (first, near, Content(), Popularity(7), Fresh(7.0))
    return Recommender(catalogue, Sources(settings, parts), None)


def asked(count: int, items: int) -> Requests:
    """Requests spread over the last day."""
    random = np.random.default_rng(4)
    moments = NOW - random.integers(0, DAY, count)
    ages = np.tile(np.arange(LENGTH, 0, -1), count) * HOUR
    activity = random.poisson(3.0, (1, items, len(ITEM_FEATURES)))
    return Requests.of(
        [f"u{n}" for n in range(count)],
        moments,
        activity.astype(np.float32),
        histories=Histories(
            offsets_of([LENGTH] * count),
            random.integers(0, items, count * LENGTH).astype(np.int32),
            np.ones(count * LENGTH, dtype=np.int8),
            np.repeat(moments, LENGTH) - ages,
        ),
        user_features=np.zeros((count, len(USER_FEATURES)), dtype=np.float32),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--share", type=float, nargs="+", default=[0.0, 0.0, 0.01, 0.1, 1.0])
    parser.add_argument("--requests", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    plain = recommender(made(options.items))
    requests = asked(options.requests, options.items)
    served = [replace(plain, catalogue=changed(plain.catalogue, each)) for each in options.share]
    for each in served:
        each.rank(requests)  # warm up: tables, threads and memory pages
    seconds = np.array([[spent(each, requests) for each in served] for _ in range(options.rounds)])
    ratios = seconds / seconds[:, :1]
    for column, share in enumerate(options.share):
        low, middle, high = np.percentile(ratios[:, column], [25, 50, 75])
        print(
            f"{share:6.1%} changed: {np.median(seconds[:, column]):.2f} s of CPU, "
            f"{middle:.2f} x (quartiles {low:.2f} to {high:.2f})"
        )


def spent(served: Recommender, requests: Requests) -> float:
    """CPU seconds, which other programs on the machine affect less than wall time."""
    began = time.process_time()
    served.rank(requests)
    return time.process_time() - began


if __name__ == "__main__":
    main()
