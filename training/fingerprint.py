"""Which code and params made a release: equal fingerprints mean a refresh on newer data."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

#: What decides which slate a release shows: how it is trained, and the policy that draws.
CODE: Final = ("features/**/*.py", "training/**/*.py", "serving/policy.py")
SECTIONS: Final = ("ingest", "placements", "split", "fit", "candidates", "trees", "policy")
#: What decides a value that the online store holds.
FEATURE_CODE: Final = tuple(
    f"features/{name}.py"
    for name in ("activity", "aggregates", "asof", "schema", "tokens", "repo/definitions")
)
FEATURE_PARAMS: Final = ("history_length", "attribution_minutes", "min_rating")


def fingerprint(root: Path, params: dict[str, Any]) -> str:
    """SHA-256 of the files under `root` that match CODE and of the SECTIONS of `params`."""
    return _digest(root, CODE, {name: params.get(name) for name in SECTIONS})


def feature_fingerprint(root: Path, params: dict[str, Any]) -> str:
    """The same of FEATURE_CODE and of the FEATURE_PARAMS of section `split`."""
    split = params.get("split") or {}
    return _digest(root, FEATURE_CODE, {name: split.get(name) for name in FEATURE_PARAMS})


def _digest(root: Path, patterns: Sequence[str], params: dict[str, Any]) -> str:
    digest = hashlib.sha256()
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            digest.update(path.relative_to(root).as_posix().encode() + b"\0")
            digest.update(path.read_bytes() + b"\0")
    digest.update(json.dumps(params, sort_keys=True).encode())
    return digest.hexdigest()
