"""Data that can be learned within seconds."""

from pathlib import Path

import numpy as np
import pytest

ITEMS = 40


@pytest.fixture
def ring(tmp_path: Path) -> Path:
    """Users walk round a ring of items, so that each item determines the next one."""
    path = tmp_path / "ring.txt"
    random = np.random.default_rng(1)
    lines = []
    for user in range(150):
        start, length = random.integers(ITEMS), random.integers(5, 20)
        lines += [f"u{user} i{(start + step) % ITEMS}\n" for step in range(length)]
    path.write_text("".join(lines))
    return path
