"""`params.yaml`: one section per stage, one frozen dataclass per section."""

import contextlib
import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from base.errors import InputError

Section = TypeVar("Section")

DEFAULT_PATH = Path("params.yaml")


class ParamsError(InputError):
    """A key of `params.yaml` is unknown, missing or of the wrong type; the message names it."""


def read(path: Path = DEFAULT_PATH) -> dict[str, Any]:
    """The whole file as a dictionary. Raises ParamsError if it is absent, no YAML or no mapping."""
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
    """Section `name` as a `section_class`; see `build`."""
    content = read(path)
    if name not in content:
        raise ParamsError(f"{path} has no section '{name}'")
    return build(section_class, name, content[name])


def build(section_class: type[Section], name: str, values: Any) -> Section:
    """A dataclass from a section's values.

    Raises ParamsError naming the key for an unknown key, a missing key, a wrong type, or a value
    that the section refuses.
    """
    if not isinstance(values, dict):
        raise ParamsError(f"section '{name}' must be a mapping")
    hints = typing.get_type_hints(section_class)
    fields = {field.name: field for field in dataclasses.fields(section_class)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            raise ParamsError(f"unknown key '{name}.{key}'; known: {', '.join(fields)}")
    arguments = {}
    for key, field in fields.items():
        if key in values:
            arguments[key] = _check(values[key], hints[key], f"{name}.{key}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ParamsError(f"missing key '{name}.{key}'")
    try:
        return section_class(**arguments)
    except ValueError as error:
        raise ParamsError(str(error)) from None


def _check(value: Any, hint: Any, key: str) -> Any:
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        if value not in parts:
            raise ParamsError(f"'{key}' must be one of {list(parts)}, not {value!r}")
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in parts:
            return None
        return _check(value, next(part for part in parts if part is not type(None)), key)
    if origin is tuple:
        if not isinstance(value, list):
            raise ParamsError(f"'{key}' must be a list, not {value!r}")
        return tuple(_check(element, parts[0], key) for element in value)
    if origin is dict:
        if not isinstance(value, dict):
            raise ParamsError(f"'{key}' must be a mapping, not {value!r}")
        return {k: _check(v, parts[1], f"{key}.{k}") for k, v in value.items()}
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, key, value)
    if hint is float and isinstance(value, int | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError):  # 1e-3 without a point is a word in YAML
            return float(value)
    if hint is Any or (isinstance(value, hint) and not (hint is int and isinstance(value, bool))):
        return value
    raise ParamsError(f"'{key}' must be {getattr(hint, '__name__', hint)}, not {value!r}")
