"""Checks of a packaged release that need no champion on a judge window."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flows.release_gate import finite, kept
from serving.release import ReleaseError, seal
from tests.training import market


@pytest.mark.parametrize(
    ("numbers", "passed", "harmful"),
    [
        ({"not_finite": 0.0}, True, False),
        ({"not_finite": 3.0}, False, True),
        ({}, None, False),
    ],
)
def test_a_weight_that_is_no_number_is_harmful(
    numbers: dict[str, float], passed: bool | None, harmful: bool
) -> None:
    check = finite(numbers)
    assert (check.passed, check.harmful) == (passed, harmful)


def test_items_that_the_champion_could_show_must_mostly_stay() -> None:
    before = market.catalogue()
    gone = before.available.copy()
    gone[np.flatnonzero(gone)[:20]] = False
    assert kept(before, before, 0.3).passed is True
    check = kept(before, replace(before, available=gone), 0.3)
    assert check.passed is False
    assert check.value == 20 / before.available.sum()
    assert "such as i0" in check.reason
    assert kept(before, market.catalogue(80), 0.3).value == 0.0, "new items take nothing away"
    assert kept(before, market.catalogue(40), 0.3).passed is False, "unknown items are gone"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("trees.txt", b"\x80\x04\x95"),
        ("trees.json", b"{}\0"),
        ("weights.safetensors", b"\x80\x04\x95" + b"x" * 20),
        ("items.parquet", b"PK\x03\x04"),
    ],
)
def test_a_file_that_is_not_what_its_suffix_says_is_refused(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ReleaseError, match="is not a"):
        seal(tmp_path)
