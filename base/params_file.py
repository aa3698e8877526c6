"""Change values in a `params.yaml` by dotted key, leaving the rest of the file as it is."""

import difflib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def edit(path: Path, values: Mapping[str, Any]) -> None:
    """Replace the values of dotted keys in a `params.yaml`. Comments stay."""
    from dvc.utils.serialize import modify_yaml

    # Write another file and rename it, so that a kill leaves the old file or the new one.
    edited = path.with_name(f".{path.stem}-edited{path.suffix}")
    shutil.copy(path, edited)
    with modify_yaml(str(edited)) as content:
        for key, value in values.items():
            *sections, last = key.split(".")
            section = content
            for name in sections:
                section = section.setdefault(name, {})
            section[last] = _scalar(value)
    edited.replace(path)


def difference(path: Path, values: Mapping[str, Any]) -> str:
    """What `edit` would change, as a unified diff for `git apply`. Empty if nothing changes."""
    with tempfile.TemporaryDirectory(prefix="rondo-params-") as folder:
        edited = Path(folder) / path.name
        shutil.copyfile(path, edited)
        edit(edited, values)
        before, after = (p.read_text().splitlines(keepends=True) for p in (path, edited))
    return "".join(difflib.unified_diff(before, after, f"a/{path.name}", f"b/{path.name}"))


def _scalar(value: Any) -> Any:
    """Write 1e-05 as 1.0e-05, since PyYAML reads a number without a decimal point as a text."""
    from ruamel.yaml import YAML

    text = repr(value)
    if isinstance(value, float) and "e" in text and "." not in text:
        return YAML().load(text.replace("e", ".0e"))
    return value
