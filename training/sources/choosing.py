"""Choose among a few settings of a source by how well it ranks what was chosen later."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from base.arrays import Scores
from features.items.catalogue import Catalogue
from features.requests.requests import Queries, Requests
from training.eligible import eligible_items, masked
from training.judging import judge_by

T = TypeVar("T")


def best(
    settings: Sequence[T],
    scorer: Callable[[T], Callable[[Requests], Scores]],
    queries: Queries,
    catalogue: Catalogue,
    k: int = 10,
) -> T:
    """The setting with the best NDCG@k on `queries`: the first of equal ones, and the middle one if
    there are no queries.

    scorer: gives for a setting the function that scores every item of the catalogue.
    """
    if len(queries) == 0:
        return settings[len(settings) // 2]

    def ndcg(setting: T) -> float:
        found = scorer(setting)

        def scores(requests: Requests) -> Scores:
            return masked(found(requests), eligible_items(catalogue, requests, repeats=False))

        judged = judge_by(queries, scores, k, len(catalogue))
        return float(judged.metrics[f"ndcg@{k}"].mean())

    return max(settings, key=ndcg)
