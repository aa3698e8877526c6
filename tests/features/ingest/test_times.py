"""The rule for times, by size, gives the same result for one value and for a column."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.event_log import connect
from features.ingest import IngestError
from features.ingest.times import column_unit, microseconds, reading, unit_of

NEW_YEAR_2025 = 1_735_689_600_000_000
READ = [
    (1735689600, NEW_YEAR_2025),
    (1735689600.25, NEW_YEAR_2025 + 250_000),
    (1735689600000, NEW_YEAR_2025),
    (1735689600000000, NEW_YEAR_2025),
    (1735689600000000000, NEW_YEAR_2025),
    ("1735689600", NEW_YEAR_2025),
    (" 1735689600000 ", NEW_YEAR_2025),
    (20250101, NEW_YEAR_2025),
    (202501010000, NEW_YEAR_2025),
    ("20250101000000", NEW_YEAR_2025),
    ("2025-01-01", NEW_YEAR_2025),
    ("2025/1/1", NEW_YEAR_2025),
    ("2025-01-01 00", NEW_YEAR_2025),
    ("2025-01-01T02:00:00+02:00", NEW_YEAR_2025),
    ("2025-01-01T02:00:00+0200", NEW_YEAR_2025),
    ("2025-01-01 02:00 +02", NEW_YEAR_2025),
    ("2024-12-31T19:00:00-05:00", NEW_YEAR_2025),
    ("2025-01-01T00:00:00Z", NEW_YEAR_2025),
    ("2025-01-01 00:00:00 UTC", NEW_YEAR_2025),
    ("2025-01-01 01:00:00 Europe/Berlin", NEW_YEAR_2025),
    ("2025-01-01T00:00:00.123456789Z", NEW_YEAR_2025 + 123_456),
    ("2025-01-01T00:00:00,5", NEW_YEAR_2025 + 500_000),
]
NO_TIMES = [
    0,
    42,
    99_999_999,
    10**20,
    "",
    "yesterday",
    "2025",
    "2025-13-01",
    "2025-02-30",
    "2025-01-01 25:00",
    "2025-01-01 24:00",
    "30/03/2025",
    "2025-01-01 01:00 Mars/Olympus",
    "2025-01-01T00:00:00+99:00",
    "2025-01-01T00:00:00+01:60",
    "epoch",
    "infinity",
    "nan",
    "1_735_689_600",
    "٢٠٢٥-01-01",
]


@pytest.mark.parametrize(("value", "expected"), READ)
def test_a_time_is_read_by_its_magnitude_or_as_iso_8601(
    value: int | float | str, expected: int
) -> None:
    assert microseconds(value) == expected
    assert in_a_column(str(value)) == expected


@pytest.mark.parametrize("value", NO_TIMES)
def test_what_is_no_time_is_refused_and_never_1970(value: int | str) -> None:
    with pytest.raises(ValueError, match="time"):
        microseconds(value)
    assert in_a_column(str(value)) is None


@pytest.mark.parametrize("value", [None, True, [1], {}])
def test_other_kinds_of_values_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="is not a time"):
        microseconds(value)


def in_a_column(text: str) -> int | None:
    """What SQL reads from a column with only this value."""
    connection = connect()
    connection.execute("CREATE TABLE source AS SELECT trim(?) AS t", [text])
    unit = connection.execute(f"SELECT {unit_of('t')} FROM source").fetchall()[0][0]
    if unit is None or unit == "small":
        return None
    found: int | None = connection.execute(f"SELECT {reading('t', unit)} FROM source").fetchall()[
        0
    ][0]
    return found


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.integers(-(10**21), 10**21).map(str),
        st.integers(19_000_101, 20_991_231).map(str),
        st.floats(allow_nan=True, allow_infinity=True).map(str),
        st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(
            lambda moment: moment.replace(tzinfo=UTC).isoformat()
        ),
        st.from_regex(r"\A[12][0-9]{3}-[01][0-9]-[0-3][0-9][ T][0-2][0-9](:[0-5][0-9])?Z?\Z"),
        st.text(alphabet="0123456789-+:TZ. /e", max_size=24),
    )
)
def test_one_value_and_a_column_are_read_alike(text: str) -> None:
    try:
        expected: int | None = microseconds(text)
    except ValueError:
        expected = None
    found = in_a_column(text)
    if found is None or expected is None:
        assert found == expected
    else:
        assert abs(found - expected) <= abs(expected) * 1e-12


def unit(*values: str) -> str:
    connection = connect()
    connection.execute("CREATE TABLE source AS SELECT unnest(?) AS t", [list(values)])
    return column_unit(connection, "source", "t", unit_of("t"), "events.csv: column 'at'")


def test_a_column_has_the_unit_of_its_clear_majority() -> None:
    assert unit(*["1735689600000"] * 10, *["1735689600"] * 3) == "ms"
    assert unit(*["1735689600"] * 10, *["1735689600000"] * 3, "no time") == "s"
    assert unit("20170101", "20170102", "1735689600") == "date"
    assert unit("soon", "later") == "iso"


def test_a_column_without_a_clear_majority_is_one_error_that_counts_them() -> None:
    with pytest.raises(
        IngestError, match=r"column 'at' mixes units: 6 in seconds .* 4 in milliseconds"
    ) as error:
        unit(*["1735689600"] * 6, *["1735689600000"] * 4)
    assert "\n" not in str(error.value)


def test_numbers_that_are_times_in_no_unit_ask_for_one() -> None:
    with pytest.raises(IngestError, match="name the unit in the mapping's `timestamp`"):
        unit("0", "1", "2")
