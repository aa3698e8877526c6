"""One rule for reading times everywhere: numbers by their size, texts as ISO 8601.

A number counts seconds, milliseconds, microseconds or nanoseconds since 1970, whichever puts it
between March 1973 and the year 5138. A whole number of 8, 12 or 14 digits that spells a date
(20170101, 201701012359, 20170101235959) is that date. A text without a zone is UTC. `microseconds`
reads one value. All values of a column have one unit: `column_unit` finds it; `unit_of` and
`reading` give the SQL.
"""

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

import duckdb

from features.event_log import connect
from features.ingest.ingest_error import IngestError
from features.schema import DAY

#: A smaller number is not a time in any unit: even as seconds it lies before March 1973.
SMALLEST: Final = 10**8

#: Each unit with the first number that is too large for it.
CEILINGS: Final = {"s": 10**11, "ms": 10**14, "us": 10**17, "ns": 10**20}

#: How many µs one of each unit is. For ns, the negated number of ns per µs. Days (`d`) are never
#: guessed by size; a mapping must name them.
_FACTORS: Final = {"d": DAY, "s": 1_000_000, "ms": 1_000, "us": 1, "ns": -1_000}

#: Dates written as one number: each unit with its strptime format.
DIGITS: Final = {"date": "%Y%m%d", "minute": "%Y%m%d%H%M", "second": "%Y%m%d%H%M%S"}

NAMES: Final = {
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "date": "dates as numbers (20170131)",
    "minute": "dates with minutes as numbers (201701312359)",
    "second": "dates with seconds as numbers (20170131235959)",
    "iso": "ISO 8601",
    "small": f"numbers below {SMALLEST}, which are too small for times",
}

#: At least this share of a column's times must agree on the unit.
MAJORITY: Final = 2 / 3

_NUMBER: Final = r"[+-]?[0-9]+([.][0-9]*)?([eE][+-]?[0-9]+)?"
_CLOCK: Final = r"(?:[01]?[0-9]|2[0-3])(?::[0-5][0-9](?::[0-5][0-9](?:[.,][0-9]+)?)?)?"
#: The most common forms, which DuckDB reads directly.
_PLAIN: Final = (
    r"[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}([ T]([01][0-9]|2[0-3]):[0-5][0-9]"
    r"(:[0-5][0-9]([.][0-9]+)?)?)?Z?"
)
_ISO: Final = (
    rf"([1-9][0-9]{{3}}[-/][0-9]{{1,2}}[-/][0-9]{{1,2}}(?:[ T]{_CLOCK})?)"
    r" ?(Z|UTC|GMT|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?|[A-Za-z]+(?:/[A-Za-z_+-]+)+)?"
)


def microseconds(value: object) -> int:
    """µs since 1970 of one time: a number, a text that holds one, or ISO 8601.

    Raises ValueError, which says what is wrong with the time.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r} is not a time")
    text = str(value).strip(" ")
    if not re.fullmatch(_NUMBER, text, re.ASCII):
        return _iso(text)
    number = float(text)
    unit = _number_unit(text, number)
    if unit is None:
        raise ValueError(f"{text} is not a time")
    if unit == "small":
        raise ValueError(f"{text} is too small for a time: even as seconds it is before March 1973")
    if unit in DIGITS:
        return _since_1970(datetime.strptime(text, DIGITS[unit]).replace(tzinfo=UTC))
    factor = _FACTORS[unit]
    if re.fullmatch(r"[+-]?[0-9]+", text, re.ASCII):
        return int(text) * factor if factor > 0 else int(text) // -factor
    return math.floor((number * factor if factor > 0 else number / -factor) + 0.5)


def _number_unit(text: str, number: float) -> str | None:
    for unit, pattern in DIGITS.items():
        if len(text) == _length(unit) and text.isdecimal() and text[:2] in ("19", "20"):
            try:
                datetime.strptime(text, pattern)
            except ValueError:
                break
            return unit
    if abs(number) < SMALLEST:
        return "small"
    return next((unit for unit, ceiling in CEILINGS.items() if abs(number) < ceiling), None)


def _iso(text: str) -> int:
    match = re.fullmatch(_ISO, text, re.ASCII)
    if match is None:
        raise ValueError(f"{text!r} is not a time")
    day, _, clock = match[1].replace("/", "-").replace("T", " ").partition(" ")
    year, month, date = (int(part) for part in day.split("-"))
    hour, minute, second, *_ = [*clock.split(":"), "0", "0", "0"] if clock else ["0"] * 3
    whole, _, fraction = second.replace(",", ".").partition(".")
    try:
        moment = datetime(year, month, date, int(hour), int(minute), int(whole))
    except ValueError:
        raise ValueError(f"{text!r} is not a time") from None
    moment += timedelta(microseconds=int(fraction[:6].ljust(6, "0")))
    zone = match[2] or "Z"
    if zone in ("Z", "UTC", "GMT"):
        return _since_1970(moment.replace(tzinfo=UTC))
    if zone[0] in "+-":
        sign, hours, minutes = zone[0], int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
        ahead = timedelta(hours=hours, minutes=minutes) * (1 if sign == "+" else -1)
        return _since_1970(moment.replace(tzinfo=UTC) - ahead)
    if zone not in available_timezones():
        raise ValueError(f"{text!r} is not a time: there is no zone {zone}")
    return _since_1970(moment.replace(tzinfo=ZoneInfo(zone)))


def _since_1970(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def check_unit(unit: str, since: str | None) -> None:
    """Raise IngestError if a mapping's `timestamp` and `since` do not say how to read times."""
    if since is not None and unit not in _FACTORS:
        raise IngestError(f"`since` needs a unit under `timestamp`: one of {', '.join(_FACTORS)}")
    if unit in ("auto", "iso", *_FACTORS, *DIGITS):
        return
    known = f"`timestamp: {unit}` is neither auto, iso, {', '.join(_FACTORS)} nor a format"
    if "%" not in unit:
        raise IngestError(f"{known} such as %d.%m.%Y")
    try:
        connect().execute("SELECT try_strptime('', ?)", [unit])
    except duckdb.Error as error:
        raise IngestError(f"{known} ({str(error).splitlines()[0]})") from None


def _length(unit: str) -> int:
    return {"date": 8, "minute": 12, "second": 14}[unit]


def column_unit(
    connection: duckdb.DuckDBPyConnection, relation: str, text: str, unit: str, where: str
) -> str:
    """The unit of the times in a column.

    relation: a table, view or join; text: SQL of the trimmed text of a value; unit: SQL of its
    unit; where: the column's name for messages. Raises IngestError if no unit has a clear majority,
    or if the numbers are not times.
    """
    rows = connection.execute(
        f"SELECT {unit}, count(*), min({text}) FROM {relation} "
        f"WHERE {text} <> '' GROUP BY 1 ORDER BY 2 DESC, 1"
    ).fetchall()
    found = [(name, count, example) for name, count, example in rows if name is not None]
    if not found:
        return "iso"  # nothing can be read: each row is rejected by itself
    likely, count, example = found[0]
    total = sum(count for _, count, _ in found)
    if count < MAJORITY * total:
        mixed = ", ".join(f"{n} in {NAMES[u]} (e.g. {e})" for u, n, e in found)
        raise IngestError(
            f"{where} mixes units: {mixed}; say which one holds in the mapping's `timestamp` "
            "(s, ms, us, iso), or give each unit a file of its own"
        )
    if likely == "small":
        raise IngestError(
            f"{where} holds {NAMES[likely]} (e.g. {example}); name the unit in the mapping's "
            f"`timestamp` ({', '.join(_FACTORS)}), and under `since` what the numbers count from"
        )
    return str(likely)


def iso_reading(text: str) -> str:
    """SQL: µs of a trimmed text in ISO 8601 that is not a number; null for other texts."""
    return f"CASE WHEN NOT regexp_full_match({text}, '{_NUMBER}') THEN {_iso_sql(text)} END"


def unit_of(text: str, iso: str | None = None) -> str:
    """SQL: the unit of one trimmed text; null if it is not a time.

    iso: SQL of `iso_reading`, if it has been computed already.
    """
    iso = iso or _iso_sql(text)
    number = f"TRY_CAST({text} AS DOUBLE)"
    dates = " ".join(
        f"WHEN length({text}) = {_length(unit)} AND regexp_full_match({text}, "
        f"'(19|20)[0-9]+') AND try_strptime({text}, '{pattern}') IS NOT NULL THEN '{unit}'"
        for unit, pattern in DIGITS.items()
    )
    sizes = " ".join(
        f"WHEN abs({number}) < {ceiling} THEN '{unit}'" for unit, ceiling in CEILINGS.items()
    )
    return (
        f"CASE WHEN regexp_full_match({text}, '{_NUMBER}') THEN CASE {dates} "
        f"WHEN abs({number}) < {SMALLEST} THEN 'small' {sizes} END "
        f"WHEN {iso} IS NOT NULL THEN 'iso' END"
    )


def reading(text: str, unit: str) -> str:
    """SQL: µs of a trimmed text in `unit` (of NAMES, or a strptime format); null for other
    texts."""
    if unit == "iso":
        return _iso_sql(text)
    if unit not in _FACTORS:
        pattern = DIGITS.get(unit, unit).replace("'", "''")
        return f"epoch_us(try_strptime({text}, '{pattern}')::TIMESTAMP)"
    factor = _FACTORS[unit]
    scale = f"* {factor}" if factor > 0 else f"/ {-factor}"
    whole = f"* {factor}" if factor > 0 else f"// {-factor}"
    # Whole numbers stay integers: a double cannot hold the microseconds of every date exactly.
    return (
        f"CASE WHEN regexp_full_match({text}, '[+-]?[0-9]+') "
        f"THEN TRY_CAST(TRY_CAST({text} AS HUGEINT) {whole} AS BIGINT) "
        f"WHEN regexp_full_match({text}, '{_NUMBER}') "
        f"THEN TRY_CAST(floor(TRY_CAST({text} AS DOUBLE) {scale} + 0.5) AS BIGINT) END"
    )


def _iso_sql(text: str) -> str:
    """SQL: µs of an ISO 8601 text.

    The zone is cut off first, because DuckDB reads the rows that follow a named zone in that zone.
    """
    plain = f"regexp_full_match({text}, '{_PLAIN}')"
    # The pattern is anchored, because regexp_extract searches anywhere in a text.
    base = f"replace(regexp_extract({text}, '^{_ISO}$', 1), ',', '.')"
    hour_alone = f"regexp_full_match({base}, '.+[ T][0-9]+')"
    base = f"CASE WHEN {hour_alone} THEN {base} || ':00' ELSE {base} END"
    zone = f"regexp_extract({text}, '^{_ISO}$', 2)"
    local = f"TRY_CAST({base} AS TIMESTAMP)"
    digits = f"replace({zone}, ':', '')"
    ahead = (
        f"(CASE WHEN {zone}[1] = '-' THEN -60000000 ELSE 60000000 END * "
        f"({digits}[2:3]::BIGINT * 60 + coalesce(TRY_CAST({digits}[4:5] AS BIGINT), 0)))"
    )
    known = ", ".join(f"'{name}'" for name in sorted(available_timezones()) if "/" in name)
    return (
        f"CASE WHEN {plain} THEN epoch_us(TRY_CAST(rtrim({text}, 'Z') AS TIMESTAMP)) "
        f"WHEN regexp_full_match({text}, '{_ISO}') THEN CASE "
        f"WHEN {zone} IN ('', 'Z', 'UTC', 'GMT') THEN epoch_us({local}) "
        f"WHEN {zone}[1] IN ('+', '-') THEN epoch_us({local}) - {ahead} "
        f"WHEN {zone} IN ({known}) THEN epoch_us(timezone({zone}, {local})) END END"
    )
