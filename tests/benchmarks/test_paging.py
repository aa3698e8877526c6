"""A feed by exclusion over a thousand items: even on page 30, retrieval finds the best items."""

from pathlib import Path

import numpy as np

from benchmarks.paging import feed, served, whole
from tests.serving.small import make_release
from tests.training import market
from training.recommender import Recommender

ITEMS, PAGES, SIZE, PEOPLE = 1000, 30, 20, 4


def test_thirty_pages_are_those_of_a_ranking_of_the_whole_catalogue(tmp_path: Path) -> None:
    make_release(tmp_path / "release", trees=False)
    catalogue = market.catalogue(ITEMS)
    market.sources(catalogue, per_source=25).save(tmp_path / "sources")
    recommender = Recommender.assemble(
        catalogue, tmp_path / "sources", tmp_path / "release" / "transformer", None
    )
    requests = market.requests(market.random_lists(PEOPLE), ITEMS)
    random = np.random.default_rng(1).random((PEOPLE, ITEMS))
    truth = np.where(recommender.eligible(requests), random, -np.inf)
    mine, ideal = (
        feed(system(recommender), requests, truth, PAGES, SIZE) for system in (served, whole)
    )
    assert [page.ndcg for page in mine] == [page.ndcg for page in ideal]
    assert len({page.ndcg for page in mine}) == PAGES
