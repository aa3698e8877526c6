"""How the columns of a source become ours: section `ingest` of params.yaml."""

from dataclasses import dataclass, field
from typing import Any, Literal

from base.params import Bool, Key
from features.ingest.ingest_error import IngestError
from features.ingest.times import check_unit


@dataclass(frozen=True)
class TableMapping:
    """One table of a source."""

    path: str | None = None
    """File or glob inside a folder source, or table name or SELECT of a database."""

    columns: dict[str, Any] = field(default_factory=dict)
    """Our column to the source's column: a name, or a number from 0 in a file without header."""

    constants: dict[str, Any] = field(default_factory=dict)
    """Our column to one value for every row, e.g. `event_type: purchase`."""

    event_types: dict[Key, str] = field(default_factory=dict)
    """The source's event type to ours, e.g. `addtocart: cart`."""

    timestamp: str = "auto"
    """Times: `s`, `ms`, `us`, `ns` or `d` (days) since 1970, `iso`, a strptime format, or `auto`:
    the unit that two thirds of the column's times have by their size."""

    since: str | None = None
    """What times in `s`, `ms`, `us`, `ns` or `d` count from, e.g. `2017-01-01`, if not 1970."""

    decimal: Literal[".", ","] = "."
    """What stands before the decimals of values, prices and propensities."""

    repeats: Literal["duplicate", "keep"] = "duplicate"
    """Equal rows without an `event_id`: one event told twice, or as many events (three rows for
    three pieces)."""

    separator: str = ","
    """Between fields of a CSV file; may be longer than one character."""

    header: Bool = True
    """Does the first line name the columns?"""

    quoting: Bool = True
    """May fields of a CSV file be quoted?"""

    encoding: str = "utf-8"
    """Of a CSV file."""

    list_separator: str = "|"
    """Between the values of one field, such as categories; the text of a list (`["a", "b"]`) is
    read as that."""

    explode: str | None = None
    """A key of JSON lines whose list holds one row each, with columns `key.inner`."""

    impressions: str | None = None
    """What separates the entries of `item_id`, where it holds the list that was shown: each is an
    impression with its position."""

    outcomes: dict[Key, str] = field(default_factory=dict)
    """What follows the last hyphen of such an entry, and the event it tells: `impression` or more,
    e.g. `{"0": impression, "1": click}`."""

    properties: dict[str, str] = field(default_factory=dict)
    """Our column to the name of a property, where each row gives one property of an item; rows of
    the others are set aside. Needs `property` and `property_value`."""

    property: str | None = None
    """The source's column that names the property."""

    property_value: str | None = None
    """The source's column of its value."""

    def __post_init__(self) -> None:
        """Raises IngestError for a setting that cannot be meant."""
        for name in ("path", "separator", "list_separator", "explode", "impressions"):
            if getattr(self, name) == "":
                raise IngestError(f"ingest.mapping: `{name}` is empty; leave it out, or name one")
        if any(mark in self.separator for mark in "\r\n"):
            raise IngestError("ingest.mapping: `separator` holds a line break, which ends a row")
        try:
            check_unit(self.timestamp, self.since)
        except IngestError as error:
            raise IngestError(f"ingest.mapping: {error}") from None


@dataclass(frozen=True)
class Mapping:
    """All tables of a source, each with a mapping or with columns that have our names already."""

    events: TableMapping | None = None
    """What users did."""

    items: TableMapping | None = None
    """The catalogue."""

    users: TableMapping | None = None
    """Users, optional."""


@dataclass(frozen=True)
class IngestParams:
    """Section `ingest` of params.yaml."""

    mapping: Mapping = field(default_factory=Mapping)
    """How the columns of a source become ours; MovieLens needs none."""
