"""Which code and params made a release: equal fingerprints mean a refresh on newer data."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

FOLDERS: Final = ("features", "training")
SECTIONS: Final = (
    "ingest",
    "placements",
    "split",
    "features",
    "fit",
    "candidates",
    "trees",
    "policy",
)


def fingerprint(root: Path, params: dict[str, Any]) -> str:
    """SHA-256 of the Python files of FOLDERS under `root` and of the SECTIONS of `params`."""
    digest = hashlib.sha256()
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    chosen = {name: params.get(name) for name in SECTIONS}
    digest.update(json.dumps(chosen, sort_keys=True).encode())
    return digest.hexdigest()
