"""Typed documents that are stored as JSON and may be read by another version of this program."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

from base.errors import InputError


class RecordError(InputError):
    """A stored document is not a valid record of this version. The message names the field."""


class Record(BaseModel):
    """A document with typed fields, stored as `model_dump(mode="json")`.

    Records are immutable and refuse unknown fields. A new field needs a default, so that older
    documents can still be read. An older version of this program refuses a document with a newer
    field, because it would otherwise decide without knowing that field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def stored(cls, content: Mapping[str, Any]) -> Self:
        """Make a record from stored content.

        Raises RecordError, in one line, if it does not fit.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise RecordError(f"{cls.__name__.lower()} cannot be read: {_told(error)}") from None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record from a JSON file. Raises RecordError if the content does not fit."""
        return cls.stored(json.loads(path.read_text()))

    def write(self, path: Path) -> None:
        """Write the record as indented JSON."""
        path.write_text(json.dumps(self.model_dump(mode="json"), indent=2, allow_nan=False) + "\n")


def _told(error: ValidationError) -> str:
    faults = error.errors(include_url=False)
    unknown = [
        ".".join(map(str, fault["loc"]))
        for fault in faults
        if fault["type"] in ("extra_forbidden", "unexpected_keyword_argument")
    ]
    if unknown:
        return f"another version of this program wrote it, with {', '.join(unknown)}"
    place = ".".join(map(str, faults[0]["loc"]))
    return f"{place}: {faults[0]['msg']}" if place else faults[0]["msg"]


def _nan_for_null(value: Any) -> Any:
    return math.nan if value is None else value


def _null_for_nan(value: float) -> float | None:
    return value if math.isfinite(value) else None


#: JSON has no NaN or infinity. Both are written as null, and null is read as NaN.
Number = Annotated[
    float,
    BeforeValidator(_nan_for_null),
    PlainSerializer(_null_for_nan, return_type=float | None, when_used="json"),
]
