"""Categories as sparse rows."""

import tracemalloc

import numpy as np
import pyarrow as pa

from features.items.multi_hot import category_names, dots, multi_hot


def test_a_row_has_a_one_for_each_of_its_names_however_often_it_is_listed() -> None:
    rows = pa.chunked_array([pa.array([["b", "a", "b"], None, [], ["c"]], pa.list_(pa.string()))])
    names = category_names(rows)
    assert names == ("a", "b", "c")
    assert multi_hot(rows, names).toarray().tolist() == [[1, 1, 0], [0] * 3, [0] * 3, [0, 0, 1]]


def test_products_are_those_of_dense_matrices_and_do_not_depend_on_the_batch() -> None:
    random = np.random.default_rng(1)
    lists = [random.choice(40, random.integers(0, 9)).astype(str).tolist() for _ in range(30)]
    rows = pa.chunked_array([pa.array(lists, pa.list_(pa.string()))])
    matrix = multi_hot(rows, category_names(rows))
    vectors = random.normal(size=(5, matrix.shape[1])).astype(np.float32)
    asked = random.integers(0, 30, (5, 12))
    found = dots(matrix, asked, vectors)
    dense = np.einsum("ncf,nf->nc", matrix.toarray()[asked], vectors)
    np.testing.assert_allclose(found, dense, rtol=1e-5, atol=1e-6)
    for row in range(5):
        alone = dots(matrix, asked[[row]], vectors[[row]])
        assert alone.tolist() == found[[row]].tolist()


def test_nothing_asked_is_nothing() -> None:
    matrix = multi_hot(pa.chunked_array([pa.array([], pa.list_(pa.string()))]), ())
    assert dots(matrix, np.zeros((2, 0), np.int64), np.zeros((2, 0), np.float32)).shape == (2, 0)


def test_memory_grows_with_entries_and_not_with_rows_times_names() -> None:
    count = 50_000
    lists = [[f"own {i}", f"shared {i % 7}"] for i in range(count)]
    rows = pa.chunked_array([pa.array(lists, pa.list_(pa.string()))])
    tracemalloc.start()
    try:
        matrix = multi_hot(rows, category_names(rows))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert matrix.shape == (count, count + 7)
    assert peak < 2_000 * count  # dense rows would be 200,000 bytes each
