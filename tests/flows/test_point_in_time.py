"""Features of judged requests equal those of a log that ends before them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.batch.aggregate import aggregate
from features.splits.split import split
from features.splits.windowing import SplitParams
from flows.point_in_time import point_in_time
from tests.features.logs import at, item, random_log, write_log


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """`split` and `features` of a log with slates, late arrivals, repeats and prices that move."""
    log = random_log(tmp_path / "log")
    prices = [item(f"i{n}", at(3 + n % 3), price=5.0) for n in range(60)]
    write_log(log, [], prices, first=10**6)
    for name in ("split", "features"):
        (tmp_path / name).mkdir()
    split(log, tmp_path / "split", SplitParams(min_targets=20, min_users=5), False)
    aggregate(tmp_path / "split", tmp_path / "features")
    return tmp_path


def test_features_that_the_stages_made_are_of_their_time(data: Path) -> None:
    check = point_in_time(data / "split", data / "features")
    assert check.passed is True, check.reason
    assert "features of requests 0 of" in check.reason


@pytest.mark.parametrize(
    ("table", "shown"),
    [("query_users", "user_events_7d"), ("item_snapshots", "item_events_3d")],
)
def test_a_feature_that_is_not_is_named(data: Path, table: str, shown: str) -> None:
    path = data / "features" / f"{table}.parquet"
    rows = pq.read_table(path)
    more = pa.array([(value or 0) + 1 for value in rows[shown].to_pylist()])
    place = rows.schema.get_field_index(shown)
    pq.write_table(rows.set_column(place, shown, more.cast(rows.schema.field(place).type)), path)
    check = point_in_time(data / "split", data / "features")
    assert check.passed is False
    assert f"such as {shown}" in check.reason


def test_without_a_judged_request_it_is_unknown(data: Path) -> None:
    path = data / "split" / "queries.parquet"
    pq.write_table(pq.read_table(path).slice(0, 0), path)
    assert point_in_time(data / "split", data / "features").passed is None
