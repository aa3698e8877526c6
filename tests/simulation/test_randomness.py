"""Counter-based numbers: uniform, independent, and not affected by other draws."""

import numpy as np

from simulation.randomness import Stream, uniforms


def test_a_number_does_not_depend_on_the_batch_it_is_drawn_in() -> None:
    users = np.arange(50)
    batch = uniforms(3, Stream.WANT, 7, users[:, None], np.arange(4)[None, :])
    alone = uniforms(3, Stream.WANT, 7, np.array([[31]]), np.array([[2]]))
    assert batch.shape == (50, 4)
    assert alone[0, 0] == batch[31, 2]


def test_integers_and_arrays_of_them_give_the_same_numbers() -> None:
    whole = uniforms(3, Stream.WANT, 7, 9, np.arange(4))
    assert (whole == uniforms(3, Stream.WANT, np.full(4, 7), np.full(4, 9), np.arange(4))).all()


def test_numbers_are_uniform_and_unrelated_between_neighbours_streams_and_seeds() -> None:
    keys = np.arange(100_000)
    base = uniforms(1, Stream.WANT, keys)
    counts, _ = np.histogram(base, bins=20, range=(0, 1))
    assert ((counts - 5000) ** 2 / 5000).sum() < 45  # chi-square, 19 degrees, p ≈ 0.001
    for other in (base[1:], uniforms(1, Stream.TRUST, keys), uniforms(2, Stream.WANT, keys)):
        size = len(other)
        assert abs(np.corrcoef(base[:size], other)[0, 1]) < 4 / np.sqrt(size)
