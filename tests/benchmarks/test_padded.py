"""Padding does not change the results of the padded SASRec baseline."""

import numpy as np
import torch

from benchmarks.padded import PADDING, SASRec, padded, rank

ROWS = [np.array(row, dtype=np.int32) for row in ([4, 2], [0, 1, 2, 3, 4], [3])]


def model() -> SASRec:
    torch.manual_seed(0)
    return SASRec(catalogue=6, length=5, dropout=0.2).eval()


def test_rows_are_padded_on_the_right_and_items_counted_from_one() -> None:
    assert padded(ROWS).tolist() == [
        [5, 3, PADDING, PADDING, PADDING],
        [1, 2, 3, 4, 5],
        [4, PADDING, PADDING, PADDING, PADDING],
    ]


def test_a_history_is_ranked_the_same_beside_longer_ones_and_alone() -> None:
    network = model()
    together = rank(network, ROWS)
    assert together.shape == (3, 6)
    for row, scores in zip(ROWS, together, strict=True):
        np.testing.assert_allclose(rank(network, [row])[0], scores, rtol=1e-4, atol=1e-5)


def test_a_position_does_not_see_what_comes_later() -> None:
    network = model()
    with torch.inference_mode():
        one = network(torch.tensor([[1, 2, 3]]))
        other = network(torch.tensor([[1, 2, 5]]))
    torch.testing.assert_close(one[:, :2], other[:, :2])
    assert not torch.allclose(one[:, 2], other[:, 2])
