"""The origin of a release: code, data, parameters, training ranges and libraries.

    rondo lineage RELEASE            # an id, or its first characters
    rondo lineage REQUEST_ID         # from an answer of the service, signed or not

Recorded when a release is published, beside its verdict. Uncommitted edits are stored as a patch,
named by its hash, in `patches/` beside the releases: `rondo rebuild` needs them.
"""

import json
import platform
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from importlib import metadata
from typing import Any, Final

import fsspec
import sqlalchemy as sa

from base.errors import InputError
from flows.consumers import EVENTS, ITEMS
from flows.learning_curve import METRICS
from flows.workspace import Workspace
from serving import offsets, verdicts
from serving.feedback_log import FeedbackLog

#: Libraries whose version may change results.
LIBRARIES: Final = (
    "duckdb",
    "feast",
    "lightgbm",
    "lightning",
    "numpy",
    "pyarrow",
    "scipy",
    "torch",
)
PATCHES: Final = "patches"
RANGES: Final = {
    "fit": ("start", "fit_end"),
    "rank": ("fit_end", "rank_end"),
    "judge": ("rank_end", "judge_end"),
}
_SHORT: Final = 12


@dataclass(frozen=True)
class LoggedRequest:
    """A slate that was served. `timestamp` is in µs; `release` is None if no release answered."""

    request_id: str
    user_id: str
    placement: str
    timestamp: int
    release: str | None
    generation: int | None
    source: str
    fallback: str | None


@dataclass(frozen=True)
class Found:
    """A release's record, and the request that led to it, if any."""

    record: verdicts.ReleaseRecord
    request: LoggedRequest | None = None


def recorded(workspace: Workspace, engine: sa.Engine, releases_url: str) -> dict[str, Any]:
    """What is recorded of a release in addition to its own `lineage.json`. Stores the patch.

    Keys: commit, patch (hash; empty for a clean checkout), data_version, offsets of the feedback
    log and the catalogue feed that were ingested, checkout, training (`RONDO_TRAIN_…` of the fit);
    python, machine and libraries of this process.
    """
    origin = workspace.origin()
    return {
        "commit": origin.commit,
        "patch": keep_patch(origin.patch, releases_url),
        "data_version": workspace.data_version(),
        "offsets": {name: offsets.read(engine, name) for name in (EVENTS, ITEMS)},
        "checkout": str(workspace.checkout),
        "training": _options(workspace),
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "libraries": {name: metadata.version(name) for name in LIBRARIES},
    }


def _options(workspace: Workspace) -> dict[str, Any]:
    """The `RONDO_TRAIN_…` options of the fit.

    Uses this process's options if the fit did not record any.
    """
    from training.transformer.config import RunOptions

    path = workspace.root / METRICS
    noted = json.loads(path.read_text()).get("options") if path.exists() else None
    return noted or RunOptions().model_dump(mode="json")


def keep_patch(patch: bytes, releases_url: str) -> str:
    """Store a patch beside the releases and return its SHA-256. Returns "" for an empty patch."""
    if not patch:
        return ""
    identity = sha256(patch).hexdigest()
    url = _patch_url(identity, releases_url)
    if _read(url) != patch:  # missing, or incomplete after a kill
        with fsspec.open(url, "wb") as file:
            file.write(patch)
    return identity


def read_patch(identity: str, releases_url: str) -> bytes:
    """Read the patch with that hash. Raises InputError if it is missing or was changed."""
    if not identity:
        return b""
    url = _patch_url(identity, releases_url)
    patch = _read(url)
    if patch is None:
        raise InputError(f"the uncommitted edits of this release are not kept any more: no {url}")
    if sha256(patch).hexdigest() != identity:
        raise InputError(f"{url} was changed: its content is not what its name says")
    return patch


def _read(url: str) -> bytes | None:
    filesystem, path = fsspec.core.url_to_fs(url)
    content: bytes | None = filesystem.cat_file(path) if filesystem.exists(path) else None
    return content


def find(engine: sa.Engine, name: str) -> Found:
    """Find a release by its id, by the first characters of it (at least four), or by a request id.

    Raises LookupError if there is none, or if there are several.
    """
    if re.fullmatch(r"[0-9a-f]{4,64}", name):
        known = verdicts.beginning(engine, name)
        if len(known) > 1:
            told = ", ".join(record.release[: len(name) + 4] for record in known)
            raise LookupError(f"{len(known)} release ids begin with {name}: {told}")
        if known:
            return Found(known[0])
    request = _request(engine, name)
    if request is None:
        raise LookupError(
            f"no release begins with '{name}' and no request has that id: `rondo releases` lists "
            "releases, and an answer of the service has a request_id"
        )
    if request.release is None:
        raise LookupError(
            f"request {request.request_id} was answered without a release, by {request.source} "
            f"({request.fallback or 'no reason given'})"
        )
    record = verdicts.read(engine, request.release)
    if record is None:
        raise LookupError(
            f"request {request.request_id} was answered by release {request.release}, of which "
            "this database has no record: it came with a Bento or from another installation"
        )
    return Found(record, request)


def content(found: Found) -> dict[str, Any]:
    """All that is known, for programs. Times are in µs."""
    record = found.record
    windows = record.lineage.get("windows")
    return {
        "release": record.release,
        "path": record.path,
        "created_at": record.created_at,
        "decision": record.decision,
        "request": asdict(found.request) if found.request else None,
        **record.lineage,
        "ranges": {name: [windows[bound] for bound in bounds] for name, bounds in RANGES.items()}
        if windows
        else None,
    }


def told(found: Found) -> list[str]:
    """All that is known, for people, one line each.

    Shows parameters in the sections where they differ.
    """
    known = content(found)
    lines = []
    if request := found.request:
        lines += [
            _line("request", f"{request.request_id}, {_moment(request.timestamp)}"),
            _line("asked", f"user {request.user_id}, placement {request.placement}"),
            _line("ranked by", request.source),
        ]
    lines += [
        _line("release", f"{known['release']} ({known['decision'] or 'not judged yet'})"),
        _line("published", f"{_moment(known['created_at'])}, {known['path']}"),
    ]
    if "commit" not in known:
        lines.append(_line("commit", "not recorded: the release is older than this record"))
    else:
        edits = f"and edits {known['patch'][:_SHORT]}" if known["patch"] else "and no edits"
        read = ", ".join(f"{value} of {name}" for name, value in known["offsets"].items())
        lines += [
            _line("commit", f"{known['commit']} {edits}, of {known['checkout']}"),
            _line("data", f"{known['data_version']}, read up to {read}"),
        ]
    for name, (start, end) in (known["ranges"] or {}).items():
        lines.append(_line(name, f"{_moment(start)} to {_moment(end)}"))
    lines += [_line(f"params.{name}", _flat(value)) for name, value in _sections(known)]
    if "libraries" in known:
        libraries = ", ".join(f"{name} {version}" for name, version in known["libraries"].items())
        lines += [
            _line("training", _flat(known["training"])),
            _line("computed by", f"Python {known['python']} on {known['machine']}; {libraries}"),
        ]
    return lines


def _sections(known: dict[str, Any]) -> Iterable[tuple[str, Any]]:
    """The parameters that affected the release, without sections `world` and `tune`."""
    params = known.get("params") or {}
    return [(name, value) for name, value in params.items() if name not in ("world", "tune")]


def _flat(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_flat(entry)}" for key, entry in value.items()) or "-"
    return str(value)


def _line(name: str, text: str) -> str:
    return f"{name:<18}  {text}"


def _moment(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(" ", "seconds")


def _request(engine: sa.Engine, name: str) -> LoggedRequest | None:
    """The logged request with that id. A signature at its end is ignored."""
    log = FeedbackLog(engine)
    found = log.request(name) or log.request(name.rpartition(".")[0])
    if found is None:
        return None
    row = found[0]
    return LoggedRequest(**{field: row[field] for field in LoggedRequest.__dataclass_fields__})


def _patch_url(identity: str, releases_url: str) -> str:
    return f"{releases_url.rstrip('/')}/{PATCHES}/{identity}.patch"
