"""The error messages of measurements in processes that fail."""

import pytest

from base.errors import InputError
from benchmarks.child import measured


def test_a_measurement_that_was_killed_says_by_what() -> None:
    with pytest.raises(InputError, match="large was ended by SIGKILL: if the memory was full"):
        measured("large", "timeit", "-n1", "-r1", "import os; os.kill(os.getpid(), 9)")


def test_a_measurement_that_failed_says_its_last_lines() -> None:
    with pytest.raises(InputError, match=r"large failed: (?s:.)*no such luck"):
        measured("large", "timeit", "-n1", "-r1", "raise ValueError('no such luck')")
