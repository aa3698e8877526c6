"""Open files as they are: plain, gzipped, or a zip with one file. Also opens zipped folders."""

import gzip
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, Final

from features.ingest.ingest_error import IngestError

_GZIP: Final = b"\x1f\x8b"
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_UNPACK: Final = "unpack it to CSV (gz and zip can be read)"
_EXPORT: Final = "export it as CSV, JSON lines or Parquet"
#: First bytes of files that are not text: the name of the format and what to do.
_OTHERS: Final = {
    b"BZh": ("bzip2", _UNPACK),
    b"\xfd7zXZ": ("xz", _UNPACK),
    b"7z\xbc\xaf": ("7-zip", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("Zstandard", _UNPACK),
    b"Rar!": ("RAR", _UNPACK),
    b"\xd0\xcf\x11\xe0": ("old Excel", _EXPORT),
    b"PAR1": ("Parquet", "name it .parquet"),
    b"SQLite format 3": ("SQLite", "give it as sqlite:///PATH, with a mapping"),
    b"%PDF": ("PDF", _EXPORT),
    b"\x89HDF": ("HDF5", _EXPORT),
    b"ARROW1": ("Arrow", _EXPORT),
    b"Obj\x01": ("Avro", _EXPORT),
}
_TAR: Final = slice(257, 262)
#: A member of an archive that grows by more than this factor, beyond the first gigabyte, is
#: refused.
_RATIO: Final = 200


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked if it is gzip or a zip with one file.

    Raises IngestError for other archives and for a damaged one.
    """
    with path.open("rb") as file:
        head = file.read(512)
    _check_text(head, path)
    try:
        if head.startswith(_GZIP):
            with gzip.open(path, "rb") as file:
                _check_text(file.read(512), path)
                file.seek(0)
                yield file  # type: ignore[misc]
        elif head.startswith(_ZIP):
            with zipfile.ZipFile(path) as archive:
                members = _members(archive, path)
                if len(members) != 1:
                    names = ", ".join(member.filename for member in members[:8]) or "nothing"
                    raise IngestError(f"{path}: a zip of one table was expected; it holds {names}")
                with archive.open(members[0]) as member:
                    yield member  # type: ignore[misc]
        else:
            with path.open("rb") as file:
                yield file
    except (gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise IngestError(f"{path}: the archive cannot be unpacked ({error})") from None


def _check_text(head: bytes, path: Path) -> None:
    """Raise IngestError if a file begins like a known format that is not text."""
    others = [told for magic, told in _OTHERS.items() if head.startswith(magic)]
    if head[_TAR] == b"ustar":
        others.append(("tar", _UNPACK))
    for name, remedy in others:
        raise IngestError(f"{path}: this is a {name} file; {remedy}")


def kind_of(path: Path) -> str:
    """The suffix of the content, without `.gz` or `.zip`.

    For a zip it is the suffix of its member.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".zip"):
        if len(suffixes) > 1:
            return suffixes[-2]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                members = _members(archive, path)
            return Path(members[0].filename).suffix.lower() if members else ""
        return ""
    return suffixes[-1] if suffixes else ""


def is_zip(path: Path) -> bool:
    """Whether this file is a zip archive. Spreadsheets are zip archives too, but do not count."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with path.open("rb") as file:
        return file.read(4) in _ZIP


@contextmanager
def unzipped(path: Path) -> Iterator[Path]:
    """Unpack a zip into a temporary folder until the block ends.

    Yields the archive's top folder if it has only one, else the temporary folder.
    """
    with TemporaryDirectory(prefix="rondo-zip-") as temporary:
        root = Path(temporary)
        try:
            with zipfile.ZipFile(path) as archive:
                for member in _members(archive, path):
                    _extract(archive, member, root, path)
        except (
            zipfile.BadZipFile,
            zlib.error,
            EOFError,
            RuntimeError,
            NotImplementedError,
        ) as error:
            raise IngestError(f"{path}: the archive cannot be unpacked ({error})") from None
        inside = list(root.iterdir())
        if not inside:
            raise IngestError(f"{path}: the archive is empty")
        yield inside[0] if len(inside) == 1 and inside[0].is_dir() else root


def _extract(archive: zipfile.ZipFile, member: zipfile.ZipInfo, root: Path, path: Path) -> None:
    target = (root / member.filename).resolve()
    if not target.is_relative_to(root.resolve()):
        raise IngestError(
            f"{path}: the archive holds a path that leads outside it, {member.filename}"
        )
    if member.file_size > max(1 << 30, _RATIO * member.compress_size):
        raise IngestError(
            f"{path}: {member.filename} grows to {member.file_size:,} bytes; unpack it"
        )
    if target.exists():
        raise IngestError(f"{path}: the archive holds {member.filename} twice")
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)


def _members(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    """The files of an archive, without those that macOS adds.

    Raises IngestError for a spreadsheet, which is also a zip.
    """
    if "[Content_Types].xml" in archive.namelist():
        raise IngestError(f"{path}: this is an Office document; save it as CSV")
    return [
        member
        for member in archive.infolist()
        if not member.is_dir()
        and not member.filename.startswith("__MACOSX/")
        and not Path(member.filename).name.startswith((".DS_Store", "._"))
    ]
