"""A feed that excludes items shown on earlier pages: quality and cost by page.

    dvc repro package && make bench-paging
    python -m benchmarks.paging data --people 300 --pages 30 --size 20

Uses the pipeline's release for the embedded world and users of its judge window. Pages are greedy,
without exploration, and exclude all earlier pages. The NDCG@10 of a page uses the world's own truth
(the probability that this user wants an item once seen), relative to the best items that could
still be shown. For comparison, the same models rank the whole catalogue. Times are for retrieval
and ranking of single requests. Results go to `reports/bench-paging.json`.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from base.arrays import Float64s, Int32s
from base.params import load
from features.ragged import Ragged
from features.requests.requests import Requests
from features.requests.training_set import load_catalogue, load_queries
from simulation.history import live_market
from simulation.valuation import Snapshot, take
from simulation.world_params import WorldParams
from training.eligible import masked
from training.metrics.hits import discounts
from training.metrics.lists import top_lists
from training.recommender import Recommender

K: Final = 10
TIMED: Final = 40

#: Returns the best items of each request, int32 [n, size].
System = Callable[[Requests, int], Int32s]


@dataclass(frozen=True)
class Page:
    """One page of all users' feeds. milliseconds: median for one request, NaN if not measured."""

    number: int
    ndcg: float
    milliseconds: float


def served(recommender: Recommender) -> System:
    """Retrieve and rank as the service does."""
    return lambda requests, size: recommender.rank(requests).top(size)


def whole(recommender: Recommender) -> System:
    """Rank every eligible item with the same models, without retrieval."""

    def best(requests: Requests, size: int) -> Int32s:
        eligible = recommender.eligible(requests)
        if recommender.ranker is None:
            return top_lists(recommender.scores_of(recommender.order, requests), size)
        rows = []
        for row in range(len(requests)):
            one = requests.select(np.array([row], dtype=np.int64))
            every = np.flatnonzero(eligible[row]).astype(np.int32)[None]
            scores = recommender.ranker.scores(recommender.describe(one, every)[0])
            rows.append(top_lists(scores[None], size, every)[0])
        return np.stack(rows)

    return best


def feed(
    system: System, requests: Requests, truth: Float64s, pages: int, size: int, timed: int = 0
) -> list[Page]:
    """Read `pages` pages of `size` items.

    truth: float64 [n, catalogue], -inf where not eligible; timed: how many users' single requests
    are timed on each page.
    """
    count = len(requests)
    shown = np.zeros((count, 0), dtype=np.int32)
    left = truth.copy()
    found = []
    for number in range(1, pages + 1):
        asked = replace(requests, excluded=_rows(shown))
        items = system(asked, size)
        ideal = -np.sort(-left, axis=1)[:, :K]
        found.append(Page(number, _ndcg(left, items[:, :K], ideal), _time(system, asked, timed)))
        for row in range(count):
            left[row, items[row][items[row] >= 0]] = -np.inf
        shown = np.concatenate([shown, items], axis=1)
    return found


def _rows(shown: Int32s) -> Ragged:
    return Ragged.from_lists([[i for i in row if i >= 0] for row in shown.tolist()])


def _ndcg(left: Float64s, items: Int32s, ideal: Float64s) -> float:
    gains = np.take_along_axis(left, np.maximum(items, 0).astype(np.int64), axis=1)
    gains = np.where(items >= 0, gains, 0.0)
    best = np.where(np.isfinite(ideal), ideal, 0.0)
    weights = discounts(K)[: items.shape[1]]
    return float(((gains @ weights) / (best @ discounts(K)[: best.shape[1]])).mean())


def _time(system: System, requests: Requests, timed: int) -> float:
    seconds = []
    for row in range(min(timed, len(requests))):
        one = requests.select(np.array([row], dtype=np.int64))
        began = time.process_time()
        system(one, K)
        seconds.append(time.process_time() - began)
    return float(np.median(seconds)) * 1e3 if seconds else float("nan")


def people_of(
    root: Path, snapshot: Snapshot, recommender: Recommender
) -> tuple[Requests, Float64s]:
    """One judged request for each user of `snapshot` who has one, and the true values of its
    items."""
    judged = load_queries(root / "split", root / "features", "judge", "organic").requests
    people = {user_id: row for row, user_id in enumerate(snapshot.user_ids)}
    rows = {user_id: row for row, user_id in enumerate(judged.user_ids) if user_id in people}
    requests = judged.select(np.array(list(rows.values()), dtype=np.int64))
    column = {item_id: place for place, item_id in enumerate(snapshot.item_ids)}
    columns = [column[item_id] for item_id in recommender.catalogue.item_ids]
    wanted = snapshot.attraction[[people[user_id] for user_id in rows]][:, columns]
    eligible = recommender.eligible(requests)
    return requests, np.where(eligible, masked(wanted.astype(np.float32), eligible), -np.inf)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paging", description="A feed by exclusion, page by page."
    )
    parser.add_argument("root", type=Path, nargs="?", default=Path("data"))
    parser.add_argument("--people", type=int, default=200)
    parser.add_argument("--pages", type=int, default=30)
    parser.add_argument("--size", type=int, default=20)
    options = parser.parse_args()
    catalogue = load_catalogue(options.root / "split")
    recommender = Recommender.load(options.root / "release", catalogue)
    market = live_market(load(WorldParams, "world", Path("params.yaml")))
    snapshot = take(market, len(market.users.humans))
    requests, truth = people_of(options.root, snapshot, recommender)
    first = np.arange(min(options.people, len(requests)), dtype=np.int64)
    requests, truth = requests.select(first), truth[first]
    systems = {"served": served(recommender), "whole catalogue": whole(recommender)}
    pages = {
        name: feed(system, requests, truth, options.pages, options.size, timed)
        for (name, system), timed in zip(systems.items(), (TIMED, 0), strict=True)
    }
    print(f"{len(requests)} people, {len(catalogue)} items, pages of {options.size}")
    print(f"{'page':>4}{'served':>9}{'whole':>9}{'ratio':>8}{'CPU ms':>9}")
    for mine, ideal in zip(*pages.values(), strict=True):
        print(
            f"{mine.number:>4}{mine.ndcg:>9.4f}{ideal.ndcg:>9.4f}{mine.ndcg / ideal.ndcg:>8.3f}"
            f"{mine.milliseconds:>9.2f}"
        )
    target = Path("reports/bench-paging.json")
    target.parent.mkdir(exist_ok=True)
    content = {name: [vars(page) for page in found] for name, found in pages.items()}
    target.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
