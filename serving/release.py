"""Releases: immutable folders named by the hash of their manifest.

    release = Release.open(folder)            # every file checked against the manifest
    publish(folder, settings.releases)        # -> id; atomic, idempotent
    release = fetch(id, settings.releases, settings.root / "cache" / "releases")
    recommender = release.load(catalogue)

Layout: manifest.json, transformer/, sources/, trees/, items.parquet, policy.json, lineage.json,
golden.json. The id is the SHA-256 of manifest.json in lowercase hex. Verdict and evidence are
stored elsewhere (`serving.verdicts`), so that a verdict does not change the files it was given for.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from base import params
from features.items.catalogue import PASTS, Catalogue
from features.schema import ITEM, conform
from features.splits.placements import PlacementsParams
from serving import release_store
from serving.policy import PolicyParams
from training.recommender import Recommender, ReleaseError

__all__ = ["Release", "ReleaseError", "fetch", "publish", "release_id", "seal", "verify"]

MANIFEST: Final = "manifest.json"
FORMAT: Final = 2
IDENTITY: Final = re.compile(r"[0-9a-f]{64}")
#: Allowed files: weights, tables and text. Nothing that could run code when it is read.
SUFFIXES: Final = (".json", ".safetensors", ".parquet", ".txt")
#: Bytes of a file that tell whether it is what its name says.
_HEAD: Final = 4096


@dataclass(frozen=True)
class Release:
    """A verified release folder.

    items: rows of `schema.ITEM` in index order; lineage: hashes of data, code and params.
    """

    id: str
    path: Path
    items: pa.Table
    policy: PolicyParams
    placements: PlacementsParams
    history_length: int
    min_rating: float
    lineage: dict[str, Any]

    @staticmethod
    def open(path: Path) -> "Release":
        """Verify every file, then read the small ones. Raises ReleaseError."""
        identity = verify(path)
        rules = json.loads((path / "policy.json").read_text())
        return Release(
            id=identity,
            path=path,
            items=conform(pq.read_table(path / "items.parquet"), ITEM),
            policy=PolicyParams.written(rules["policy"]),
            placements=params.build(PlacementsParams, "placements", rules["placements"]),
            history_length=rules["history_length"],
            min_rating=rules["min_rating"],
            lineage=json.loads((path / "lineage.json").read_text()),
        )

    def catalogue(self) -> Catalogue:
        """The release's items with their earlier states, as its golden requests saw them.

        The service starts from `items`, which has only the newest states.
        """
        table = pq.read_table(self.path / "items.parquet")
        items = self.items
        for name in PASTS:
            if name in table.column_names:
                items = items.append_column(name, table[name])
        return Catalogue.from_table(items)

    def load(self, catalogue: Catalogue) -> Recommender:
        """Load the models for `catalogue`, which must begin with the items of this release."""
        return Recommender.load(self.path, catalogue)


def seal(folder: Path) -> str:
    """Write the manifest of `folder`'s files and return the release id.

    Raises ReleaseError for a file type that a release must not hold.
    """
    files = {}
    for path in _files(folder):
        _require_allowed(path)
        files[path.relative_to(folder).as_posix()] = {
            "sha256": _hash(path),
            "bytes": path.stat().st_size,
        }
    content = {"format": FORMAT, "files": files}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    return release_id(folder)


def release_id(folder: Path) -> str:
    """SHA-256 of the manifest, lowercase hex. Raises ReleaseError if there is none."""
    manifest = folder / MANIFEST
    if not manifest.is_file():
        raise ReleaseError(f"{folder} is not a release: it has no {MANIFEST}")
    return _hash(manifest)


def verify(folder: Path, expected: str | None = None) -> str:
    """Check that a release's files are complete and unchanged, and that there are no others.
    Returns its id.

    expected: the id that it must have. Raises ReleaseError if a check fails.
    """
    identity = release_id(folder)
    if expected is not None and identity != expected:
        raise ReleaseError(f"{folder} holds release {identity}, not {expected}")
    manifest = json.loads((folder / MANIFEST).read_text())
    if manifest.get("format") != FORMAT:
        raise ReleaseError(
            f"{folder}: format {manifest.get('format')}, this program reads {FORMAT}"
        )
    named = manifest["files"]
    present = {path.relative_to(folder).as_posix() for path in _files(folder)}
    if present != set(named):
        wrong = sorted(present ^ set(named))
        raise ReleaseError(f"{folder}: files missing or not in the manifest: {wrong}")
    for name, entry in named.items():
        _require_allowed(folder / name)
        if _hash(folder / name) != entry["sha256"]:
            raise ReleaseError(f"{folder / name} was changed after the release was made")
    return identity


def publish(folder: Path, releases_url: str) -> str:
    """Copy a release to `<releases_url>/<id>` and return its id. Doing so again changes nothing.

    In a local folder the release appears as a whole. In an object store the manifest is written
    last, and without a manifest there is no release.
    """
    identity = verify(folder)
    with release_store.opened(releases_url) as (filesystem, root):
        target = f"{root}/{identity}"
        if filesystem.exists(f"{target}/{MANIFEST}"):
            return identity
        if _is_local(filesystem):
            with _appearing(Path(target)) as temporary:
                shutil.copytree(folder, temporary, dirs_exist_ok=True)
            return identity
        for path in _files(folder):
            filesystem.put_file(str(path), f"{target}/{path.relative_to(folder).as_posix()}")
        filesystem.put_file(str(folder / MANIFEST), f"{target}/{MANIFEST}")
    return identity


def fetch(identity: str, releases_url: str, cache: Path) -> Release:
    """A verified local copy of a release, from `cache` if it is there.

    Raises ReleaseError if the store does not hold it, or holds other content under its name.
    """
    local = cache / identity
    with release_store.opened(releases_url) as (filesystem, root):
        source = f"{root}/{identity}"
        if _is_local(filesystem) and Path(source).is_dir():
            local = Path(source)
        elif not local.is_dir():
            if not filesystem.exists(f"{source}/{MANIFEST}"):
                raise ReleaseError(
                    f"{release_store.shown(releases_url)} holds no release {identity}"
                )
            with _appearing(local) as temporary:
                filesystem.get(f"{source}/", f"{temporary}/", recursive=True)
                verify(temporary, identity)
    verify(local, identity)
    return Release.open(local)


def stored(releases_url: str) -> list[str]:
    """Ids of the releases in a store, in any order."""
    with release_store.opened(releases_url) as (filesystem, root):
        return [n for n in _names(filesystem, root) if filesystem.exists(f"{root}/{n}/{MANIFEST}")]


def begun(releases_url: str) -> list[str]:
    """Like `stored`, plus releases of which an interrupted upload or removal left some files."""
    with release_store.opened(releases_url) as (filesystem, root):
        return _names(filesystem, root)


def remove(identity: str, releases_url: str) -> None:
    """Delete a release from a store.

    The manifest is deleted first, so that a partly deleted release does not count as one. Files
    left by an interrupted upload or removal are deleted too.
    """
    with release_store.opened(releases_url) as (filesystem, root):
        target = f"{root}/{identity}"
        if filesystem.exists(f"{target}/{MANIFEST}"):
            filesystem.rm_file(f"{target}/{MANIFEST}")
        if filesystem.exists(target):
            filesystem.rm(target, recursive=True)


def _names(filesystem: Any, root: str) -> list[str]:
    try:  # s3fs's `exists` says no on any error
        entries = filesystem.ls(root, False)
    except FileNotFoundError:
        return []
    names = [str(entry).rstrip("/").rsplit("/", 1)[-1] for entry in entries]
    return [name for name in names if IDENTITY.fullmatch(name)]


@contextmanager
def _appearing(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `target`.

    It is renamed to `target` when the block succeeds.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}-{os.getpid()}-{secrets.token_hex(4)}")
    temporary.mkdir()
    try:
        yield temporary
        try:
            temporary.rename(target)
        except OSError:
            if not target.is_dir():  # else another process published the same bytes first
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _is_local(filesystem: Any) -> bool:
    return isinstance(filesystem, fsspec.get_filesystem_class("file"))


def _files(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST
    )


def _require_allowed(path: Path) -> None:
    """Raise ReleaseError for a file of another type than SUFFIXES, or that is not what its name
    says."""
    if path.suffix not in SUFFIXES:
        raise ReleaseError(f"{path}: a release holds only {SUFFIXES}")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if path.suffix == ".parquet":
        fits = head.startswith(b"PAR1")
    elif path.suffix == ".safetensors":  # the header's length in 8 bytes, then the header
        fits = head[8:9] == b"{"
    else:  # a pickle of any protocol since 2 begins with the byte 128, which no UTF-8 text does
        fits = b"\0" not in head and not head.startswith(b"\x80")
    if not fits:
        raise ReleaseError(f"{path} is not a {path.suffix} file by its content")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
