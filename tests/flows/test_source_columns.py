"""A column of new rows that lost its values, or has another unit, holds a release."""

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from flows import arrivals
from flows.consumers import LOG_ROWS
from flows.source_columns import source_columns
from serving import offsets
from tests.features.logs import at, event, item, write_log
from training.check import Check
from training.thresholds import GateParams


def exports(engine: sa.Engine, log: Path, *parts: dict[str, list[dict[str, Any]]]) -> Check:
    """The check of the last of these exports, after retrains that saw the others, one each."""
    first = 0
    for part in parts:
        alike = source_columns(engine, log, GateParams()).passed is True
        offsets.advance(engine, arrivals.learned(engine, alike))
        rows = part.get("events", []), part.get("items", [])
        write_log(log, *rows, first=first)
        first += sum(map(len, rows))
        offsets.advance(engine, {LOG_ROWS: first})
    return source_columns(engine, log, GateParams())


def catalogue(day: int, count: int = 40, **columns: Any) -> dict[str, list[dict[str, Any]]]:
    rows = [item(f"i{n}", at(day), **{"price": 1.0 + n, **columns}) for n in range(count)]
    return {"items": rows}


def watched(day: int, seconds: float | None, count: int = 40) -> dict[str, list[dict[str, Any]]]:
    rows = [
        event(f"e{day}-{n}", "u", "i1", at(day) + n, event_type="click", value=seconds)
        for n in range(count)
    ]
    return {"events": rows}


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([catalogue(0), catalogue(1)], ""),
        ([catalogue(0), catalogue(1, price=999.0)], "the price of 40 items is"),
        ([catalogue(0), catalogue(1, price=None)], "40 of 40 items lost their price"),
        ([catalogue(0), catalogue(1, title=None)], "40 of 40 items lost their title"),
        ([catalogue(0, categories=["a"]), catalogue(1)], "40 of 40 items lost their categories"),
        ([catalogue(0), catalogue(1, count=10, price=None)], ""),
        ([watched(0, 30.0), watched(1, 45.0)], ""),
        ([watched(0, 30.0), watched(1, 30_000.0)], "the median value of click events is 3e+04"),
        ([watched(0, 30.0), watched(1, None)], "100% of click events lost their value"),
        ([catalogue(0, price=None), catalogue(1)], ""),
        ([catalogue(1)], ""),
        # A fault that lasts is told at every retrain, and one that has ended at none.
        ([catalogue(0), catalogue(1, price=999.0), catalogue(2, price=999.0)], "the price of 40"),
        ([catalogue(0), catalogue(1, price=999.0), watched(2, None)], "the price of 40"),
        ([catalogue(0), catalogue(1, price=999.0), catalogue(2)], ""),
        ([watched(0, 30.0), watched(1, 3e4), watched(2, 3e4)], "the median value of click events"),
        ([watched(0, 30.0), watched(1, 3e4), watched(2, 31.0)], ""),
        ([watched(0, 30.0), watched(1, None), watched(2, 31.0), watched(3, None)], "lost their"),
        # A few new events do not end it.
        ([watched(0, 30.0), watched(1, 3e4), watched(2, 3e4, 3)], "the median value of click"),
        ([watched(0, 30.0), watched(1, 3e4), catalogue(2)], "the median value of click events"),
        ([watched(0, 30.0), watched(1, 3e4), watched(2, 3e4, 3), watched(3, 31.0)], ""),
    ],
)
def test_a_column_that_changed_is_named(
    engine: sa.Engine, tmp_path: Path, parts: list[dict[str, list[dict[str, Any]]]], words: str
) -> None:
    check = exports(engine, tmp_path / "log", *parts)
    assert check.passed is (not words), check.reason
    assert words in check.reason
