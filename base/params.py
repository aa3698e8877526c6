"""Read `params.yaml`: one section per stage, one frozen dataclass per section, checked by pydantic.

A field may add limits to its type, such as `Annotated[Int, Field(ge=1)]`. They are checked when the
section is read from a file, but not when code creates the dataclass.
"""

import dataclasses
import math
import typing
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Strict,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from base.errors import InputError

Section = TypeVar("Section")

DEFAULT_PATH = Path("params.yaml")


class ParamsError(InputError):
    """A key of `params.yaml` is unknown, missing or of the wrong type; the message names it."""


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("float_type", "not a number")
    return value


def _no_nan(value: float) -> float:
    if math.isnan(value):  # no comparison with it holds: as a limit it would be none
        raise PydanticCustomError("float_type", "not a number")
    return value


Int = Annotated[int, Strict()]
"""A whole number.

`true` and texts such as "3" are refused, although pydantic accepts them by default.
"""

Bool = Annotated[bool, Strict()]
"""`true` or `false`. Other words and numbers are refused."""

Float = Annotated[float, BeforeValidator(_no_flag), AfterValidator(_no_nan)]
"""A number, or a text of one: YAML reads 1e-3, which has no decimal point, as a text."""

Key = Annotated[str, BeforeValidator(str)]
"""A text used as the key of a mapping.

YAML may read it as a number; it is turned back into a text.
"""


def read(path: Path = DEFAULT_PATH) -> dict[str, Any]:
    """The whole file as a dictionary.

    Raises ParamsError if it is missing, not YAML or not a mapping.
    """
    if not path.exists():
        raise ParamsError(f"{path} does not exist: run this from the repository root")
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParamsError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path} must be a mapping of sections, not {type(content).__name__}")
    return content


def load(section_class: type[Section], name: str, path: Path = DEFAULT_PATH) -> Section:
    """Read section `name` as a `section_class`.

    Raises ParamsError like `build`, or if it is missing.
    """
    content = read(path)
    if name not in content:
        raise ParamsError(f"{path} has no section '{name}'")
    return build(section_class, name, content[name])


def build(section_class: type[Section], name: str, values: Any) -> Section:
    """Make a dataclass from a section's values.

    Raises ParamsError, which names the key, for an unknown key, a missing key, a wrong type or a
    value that the section refuses.
    """
    if not isinstance(values, dict):
        raise ParamsError(f"section '{name}' must be a mapping")
    try:
        reader = _reader(section_class)  # type: ignore[arg-type]  # a class is hashable
        section: Section = reader.validate_python({name: values})[name]
    except ValidationError as error:
        raise ParamsError(_told(section_class, error)) from None
    return section


@cache
def _reader(section_class: Any) -> TypeAdapter[Any]:
    """A reader of a mapping that holds the section.

    Pydantic accepts settings such as `extra="forbid"` for a mapping, but not for a plain dataclass.
    """
    return TypeAdapter(dict[str, section_class], config=ConfigDict(extra="forbid"))


_UNKNOWN = ("unexpected_keyword_argument", "invalid_key")
_MEANT = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "true or false",
    "string_type": "a text",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "greater_than": "above {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "below {lt:g}",
    "less_than_equal": "at most {le:g}",
    "finite_number": "finite",
}


def _told(section_class: type[Any], error: ValidationError) -> str:
    """Describe one fault in one line.

    An unknown key goes first, as a typing error in it also leads to a missing key.
    """
    fault = min(error.errors(include_url=False), key=lambda fault: fault["type"] not in _UNKNOWN)
    place, kind = fault["loc"], fault["type"]
    key = ".".join(map(str, place))
    if kind in _UNKNOWN:
        known = dataclasses.fields(_inside(section_class, place[1:-1]))
        return f"unknown key '{key}'; known: {', '.join(field.name for field in known)}"
    if kind == "missing":
        return f"missing key '{key}'"
    if kind == "value_error" and isinstance(fault["input"], dict):
        return str(fault["ctx"]["error"])  # the section's own words
    meant = fault["msg"].removeprefix("Input should be ")
    if kind in _MEANT:
        meant = _MEANT[kind].format(**fault.get("ctx", {}))
    return f"'{key}' must be {meant}, not {fault['input']!r}"


def _inside(hint: Any, place: tuple[int | str, ...]) -> Any:
    """Return the dataclass at `place` below `hint`, following its fields and the values of
    mappings."""
    for part in place:
        if dataclasses.is_dataclass(hint):
            hint = typing.get_type_hints(hint)[str(part)]
        else:
            hint = typing.get_args(hint)[1]
        if type(None) in typing.get_args(hint):
            hint = typing.get_args(hint)[0]
    return hint
