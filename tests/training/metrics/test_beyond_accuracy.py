"""Coverage, novelty and diversity, compared with values computed by hand and by scipy."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import entropy

from training.metrics.coverage import coverage
from training.metrics.diversity import diversity
from training.metrics.novelty import novelty

LISTS = np.array([[0, 1], [1, 2], [0, -1]], dtype=np.int32)


def test_coverage_counts_each_item_once_and_no_padding() -> None:
    assert coverage(LISTS, 6) == pytest.approx(3 / 6)


def test_coverage_of_an_empty_catalogue_is_refused() -> None:
    with pytest.raises(ValueError, match="empty catalogue"):
        coverage(LISTS, 0)


def test_novelty_is_the_mean_self_information_of_the_listed_items() -> None:
    # Counts 3, 1, 0 plus one each: shares 4/7, 2/7, 1/7.
    bits = -np.log2([4 / 7, 2 / 7, 1 / 7])
    expected = [(bits[0] + bits[1]) / 2, (bits[1] + bits[2]) / 2, bits[0]]
    np.testing.assert_allclose(novelty(LISTS, np.array([3.0, 1.0, 0.0])), expected)


def test_novelty_of_lists_drawn_by_popularity_is_the_entropy_of_popularity() -> None:
    counts = np.array([60.0, 25.0, 10.0, 1.0])
    share = (counts + 1) / (counts + 1).sum()
    lists = np.random.default_rng(1).choice(4, size=(40_000, 1), p=share).astype(np.int32)
    assert novelty(lists, counts).mean() == pytest.approx(entropy(share, base=2), rel=0.02)


def test_diversity_is_the_mean_cosine_distance_of_pairs() -> None:
    random = np.random.default_rng(2)
    vectors = random.normal(size=(20, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    lists = np.stack([random.permutation(20)[:5] for _ in range(10)]).astype(np.int32)
    expected = [pdist(vectors[row], "cosine").mean() for row in lists]
    np.testing.assert_allclose(diversity(lists, vectors), expected, rtol=1e-5)


def test_a_list_of_one_item_has_no_diversity() -> None:
    assert diversity(LISTS, np.eye(3, dtype=np.float32)).tolist() == [1.0, 1.0, 0.0]
