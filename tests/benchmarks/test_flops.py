"""Operations are counted as defined."""

import numpy as np
import pytest

from benchmarks.flops import flops_per_token


def test_operations_are_counted_as_by_a_loop_over_tokens() -> None:
    size, layers, weights, scored = 8, 3, 500, 40
    total, count = 0, 0
    for length in (3, 5):
        for position in range(1, length + 1):
            attention = 2 * (2 * position * size)  # query · key, weights · value
            total += 3 * (2 * weights + layers * attention + 2 * scored * size)
            count += 1
    found = flops_per_token(weights, layers, size, np.array([3, 5]), scored)
    assert found == pytest.approx(total / count)
