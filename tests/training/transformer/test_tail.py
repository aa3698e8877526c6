"""Ranking the tail a few queries at a time gives the same numbers as all at once."""

import numpy as np
import pytest

from tests.training.transformer.synthetic import START, events
from training.metrics.lists import against_ties, top_lists
from training.metrics.ndcg import ndcg
from training.transformer import tail as module
from training.transformer.data import Tokens, tokens_from
from training.transformer.tail import (
    Lazy,
    Tail,
    candidates,
    lazy_candidates,
    new_item_shares,
    popularity,
    split_tail,
    tail_ndcg,
)

ITEMS = 40


@pytest.fixture(scope="module")
def split() -> tuple[Tokens, Tail]:
    columns = events(200, ITEMS, 20)
    tokens = tokens_from(
        columns["user"], columns["item"], columns["event_type"], columns["timestamp"], False
    )
    return tokens, split_tail(tokens, np.ones(len(tokens), dtype=bool), 0.2, 150)[1]


@pytest.fixture
def scores(split: tuple[Tokens, Tail]) -> np.ndarray:
    """Scores with many ties."""
    random = np.random.default_rng(0)
    return random.integers(0, 6, size=(len(split[1]), ITEMS)).astype(np.float32)


@pytest.fixture
def created_at() -> np.ndarray:
    return START + np.arange(ITEMS) * 60_000_000 * 150


@pytest.mark.parametrize("repeats", [False, True])
def test_candidates_made_when_looked_at_are_those_made_at_once(
    split: tuple[Tokens, Tail], created_at: np.ndarray, repeats: bool
) -> None:
    tail = split[1]
    whole = candidates(tail, created_at, repeats)
    lazy = lazy_candidates(tail, created_at, repeats)
    assert 0 < whole.mean() < 1
    assert np.array_equal(lazy[:], whole)
    assert np.array_equal(lazy[3:17], whole[3:17])
    assert lazy[:0].shape == (0, ITEMS)


@pytest.mark.parametrize("elements", [1, 7 * ITEMS, 10**6])
def test_metrics_do_not_depend_on_how_many_are_ranked_at_a_time(
    split: tuple[Tokens, Tail],
    scores: np.ndarray,
    created_at: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    elements: int,
) -> None:
    tokens, tail = split
    allowed = candidates(tail, created_at, False)
    before = scores.copy()
    masked = against_ties(np.where(allowed, scores, np.float32(-np.inf)), tail.targets)
    per_query = ndcg(top_lists(masked, 10), tail.targets)
    by_user = [per_query[tail.users == user].mean() for user in np.unique(tail.users)]
    popular = popularity(tokens, tail, ITEMS, allowed)
    new = np.arange(ITEMS) > 30
    shares = new_item_shares(scores, tail, allowed, new)
    monkeypatch.setattr(module, "CHUNK_SCORES", elements)
    assert tail_ndcg(scores, tail, allowed) == pytest.approx(np.mean(by_user), abs=1e-12)
    lazy = lazy_candidates(tail, created_at, False)
    assert tail_ndcg(Lazy(lambda rows: scores[rows]), tail, lazy) == pytest.approx(
        np.mean(by_user), abs=1e-12
    )
    assert popularity(tokens, tail, ITEMS, lazy) == popular
    assert new_item_shares(scores, tail, lazy, new) == pytest.approx(shares, abs=1e-12)
    assert np.array_equal(scores, before)


def test_scores_that_are_not_finite_are_refused(
    split: tuple[Tokens, Tail], scores: np.ndarray
) -> None:
    tail = split[1]
    for bad in (np.nan, np.inf):
        scores[3, int(tail.targets[3][0])] = bad
        with pytest.raises(ValueError, match="NaN or infinity"):
            tail_ndcg(scores, tail, np.ones(scores.shape, dtype=bool))
