"""How the columns of a source become ours (section `ingest` of params.yaml)."""

from dataclasses import dataclass, field
from typing import Any, Literal

from base.params import Bool, Key
from features.ingest.ingest_error import IngestError
from features.ingest.times import check_unit


@dataclass(frozen=True)
class TableMapping:
    """One table of a source."""

    path: str | None = None
    """File or glob inside a source folder, or table name or SELECT of a database."""

    columns: dict[str, Any] = field(default_factory=dict)
    """Our column to the source's column: its name, or its number (from 0) in a file without
    header."""

    constants: dict[str, Any] = field(default_factory=dict)
    """Our column to a value used for every row, e.g. `event_type: purchase`."""

    event_types: dict[Key, str] = field(default_factory=dict)
    """The source's event type to ours, e.g. `addtocart: cart`."""

    timestamp: str = "auto"
    """Format of times: `s`, `ms`, `us`, `ns` or `d` (days) since 1970, `iso`, a strptime format, or
    `auto`.

    `auto` finds the unit by the size of the numbers; two thirds of the times must agree.
    """

    since: str | None = None
    """Date from which times in `s`, `ms`, `us`, `ns` or `d` count, e.g.

    `2017-01-01`. Default: 1970.
    """

    decimal: Literal[".", ","] = "."
    """The decimal separator of values, prices and propensities."""

    repeats: Literal["duplicate", "keep"] = "duplicate"
    """How to read equal rows without an `event_id`: `duplicate` counts them as one event, `keep`
    as separate events (e.g. three rows for three pieces bought)."""

    separator: str = ","
    """Separator of the fields of a CSV file. May have several characters."""

    header: Bool = True
    """Whether the first line names the columns."""

    quoting: Bool = True
    """Whether fields of a CSV file may be quoted."""

    encoding: str = "utf-8"
    """Text encoding of a CSV file."""

    list_separator: str = "|"
    """Separator of the values in one field, such as categories.

    The text of a list (`["a", "b"]`) needs none.
    """

    explode: str | None = None
    """A key of JSON lines whose list holds one row per entry, with columns `key.inner`."""

    impressions: str | None = None
    """Separator of the entries of `item_id`, if it holds the list of items that was shown.

    Each entry becomes an impression with its position.
    """

    outcomes: dict[Key, str] = field(default_factory=dict)
    """Text after the last hyphen of such an entry to the event it stands for: `impression` if
    nothing else happened, e.g. `{"0": impression, "1": click}`."""

    properties: dict[str, str] = field(default_factory=dict)
    """Our column to the name of a property, for sources where each row gives one property of an
    item.

    Rows of other properties are set aside. Needs `property` and `property_value`.
    """

    property: str | None = None
    """The source's column with the name of the property."""

    property_value: str | None = None
    """The source's column with the value of the property."""

    def __post_init__(self) -> None:
        """Raise IngestError for a setting that cannot be right."""
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
    """All tables of a source. A table without mapping must use our column names."""

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
