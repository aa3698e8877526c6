"""What we use of Feast, imported in less than half the time.

Feast marks its functions with `typeguard.typechecked`, which parses and compiles a module anew for
each of them: 3 of 5.5 s of processor time, in every process that opens a store. Under `python -O`
typeguard leaves functions as they are, and so it does here, while Feast is imported.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import typeguard


@contextlib.contextmanager
def _as_they_are() -> Iterator[None]:
    original: Any = typeguard.typechecked
    typeguard.typechecked = _unchanged
    try:
        yield
    finally:
        typeguard.typechecked = original


def _unchanged(target: Any = None, **_: Any) -> Any:
    """A decorator that does nothing, with the arguments of `typechecked` or without."""
    return _unchanged if target is None else target


with _as_they_are():
    from feast import (
        Entity,
        FeatureService,
        FeatureStore,
        FeatureView,
        Field,
        FileSource,
        PushSource,
        RepoConfig,
        ValueType,
    )
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value
    from feast.types import Array, Float64, Int64, String

__all__ = [
    "Array",
    "Entity",
    "EntityKey",
    "FeatureService",
    "FeatureStore",
    "FeatureView",
    "Field",
    "FileSource",
    "Float64",
    "Int64",
    "PushSource",
    "RepoConfig",
    "String",
    "Value",
    "ValueType",
]
