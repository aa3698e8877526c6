"""The data that contenders are given."""

from pathlib import Path

import numpy as np

from benchmarks.task import EMBEDDING_SIZE, NUM_HEADS, NUM_LAYERS, Arrays, Task
from training.transformer.config import SHAPES

TASK = Task("some.txt", "arrays.npz", "folder", 200, 2, 3, 60.0, {"dropout": 0.2})
ARRAYS = Arrays(
    np.array([0, 4, 5, 7]),
    np.array([0, 1, 2, 3, 1, 2, 0], dtype=np.int32),
    np.array([0, 4, 6]),
    np.array([0, 1, 2, 3, 2, 0], dtype=np.int32),
    4,
)


def test_a_task_and_its_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    TASK.write(tmp_path / "task.json")
    assert Task.read(tmp_path / "task.json") == TASK
    ARRAYS.write(tmp_path / "arrays.npz")
    found = Arrays.read(tmp_path / "arrays.npz")
    assert found.catalogue == 4
    assert found.items.tolist() == ARRAYS.items.tolist()
    assert found.asked_offsets.tolist() == [0, 4, 6]


def test_the_newest_events_are_kept_and_a_user_with_one_teaches_nothing() -> None:
    assert [row.tolist() for row in ARRAYS.sequences(2)] == [[1, 2, 3], [2, 0]]
    assert [row.tolist() for row in ARRAYS.asked(2)] == [[2, 3], [2, 0]]


def test_every_contender_has_the_size_that_rondo_calls_tiny() -> None:
    shape = SHAPES["tiny"]
    assert (shape.embedding_size, shape.num_layers, shape.num_heads) == (
        EMBEDDING_SIZE,
        NUM_LAYERS,
        NUM_HEADS,
    )
