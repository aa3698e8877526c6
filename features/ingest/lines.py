"""Split text files into blocks of whole, well-formed rows. Rejected lines are reported by number.

In a parser that trusts quotes, one stray quote swallows the lines up to the next quote. Here a
quoted field must end where a field ends. It may contain line breaks only in columns of free text,
and not where the next lines look like rows themselves. The cost is linear, and memory holds one
block.
"""

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from features.ingest.ingest_error import IngestError

BLOCK: Final = 1 << 22
#: The longest quoted field that may span lines, and the longest line, in characters.
SPAN, LINE = 1 << 20, 1 << 26

HINT: Final = "`quoting: false` reads quotes as text"
OPEN: Final = f"a quote opens a field and does not end it ({HINT})"
SWALLOWS: Final = f"a quoted field runs over lines that look like rows ({HINT})"


def blocks(stream: BinaryIO, encoding: str, where: str) -> Iterator[tuple[str, bool]]:
    """Decode the stream. Yields blocks of text with line ends `\\n`, and whether the block is the
    last.

    A block may end anywhere. Raises IngestError, which names the line that cannot be decoded.
    """
    head = stream.read(BLOCK)
    if encoding.lower().replace("_", "-") in ("utf-8", "utf8"):
        encoding = _unicode(head)
    try:
        "".encode(encoding)  # refuses codecs that are not text encodings, such as rot13
        decoder = io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder(encoding)(), translate=True
        )
    except (LookupError, UnicodeError):
        raise IngestError(f"{where}: there is no encoding '{encoding}'") from None
    lines = 0
    while True:
        following = stream.read(BLOCK) if head else b""
        try:
            text = decoder.decode(head, final=not following)
        except UnicodeDecodeError as error:
            line = lines + 1 + bytes(error.object[: error.start]).count(b"\n")
            name = "utf-8" if encoding == "utf-8-sig" else encoding
            raise IngestError(
                f"{where}: line {line} is not {name}; set the mapping's encoding, e.g. latin-1"
            ) from None
        except UnicodeError:
            raise IngestError(f"{where}: not {encoding}; set the mapping's encoding") from None
        lines += text.count("\n")
        yield text, not following
        if not following:
            return
        head = following


def _unicode(head: bytes) -> str:
    """Guess the Unicode encoding of a text from its first bytes.

    Uses the byte order mark. Without one, every other byte of UTF-16 is zero if letters are Latin.
    """
    if head[:4] in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE):
        return "utf-32"
    if head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        return "utf-16"
    zeros = bytes(byte == 0 for byte in head[:4])
    return {b"\0\1\0\1": "utf-16-le", b"\1\0\1\0": "utf-16-be"}.get(zeros, "utf-8-sig")


@dataclass
class LineRows:
    """Checks the rows of a delimited file.

    width: fields per row; typed: positions of the fields that hold no free text; rejected: line,
    text and reason of each rejected row so far.
    """

    separator: str
    quoting: bool
    width: int
    typed: frozenset[int]
    line: int
    rejected: list[tuple[int, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        s = re.escape(self.separator)
        plain = rf'(?!")[^{s}\n]*+'
        single, spanning = (rf'(?:"[^"{end}]*+(?:""[^"{end}]*+)*+"|{plain})' for end in (r"\n", ""))
        self._clean = re.compile(rf"(?:{single}(?:{s}{single})*+\n)*+")
        self._record = re.compile(rf"{spanning}(?:{s}{spanning})*+(?=\n)")
        self._field = re.compile(spanning)

    def take(self, text: str, last: bool) -> tuple[str, int, str]:
        """Return the good rows of `text`, their number, and the remaining text, which needs more
        input."""
        if last and text and not text.endswith("\n"):
            text += "\n"
        if not last:
            end = text.rfind("\n") + 1
            text, rest = text[:end], text[end:]
        else:
            rest = ""
        if not (self.quoting and '"' in text):
            return (*self._passed(text), rest)
        good, count, place = [], 0, 0
        while place < len(text):
            match = self._clean.match(text, place)
            end = match.end() if match else place
            passed, rows = self._passed(text[place:end])
            good.append(passed)
            count, place = count + rows, end
            if place == len(text):
                break
            record = self._record.match(text, place, min(len(text), place + SPAN))
            if record is None and not last and len(text) - place < SPAN:
                return "".join(good), count, text[place:] + rest
            end = self._unusual(text, place, record.group() if record else None)
            if end < 0:
                good.append(text[place:-end])
                count, end = count + 1, -end
            self.line += text.count("\n", place, end)
            place = end
        return "".join(good), count, rest

    def _passed(self, text: str) -> tuple[str, int]:
        """Handle lines without quotes: count them and drop empty ones."""
        lines = text.count("\n")
        self.line += lines
        if text.startswith("\n") or "\n\n" in text:
            text = re.sub(r"\n{2,}", "\n", text).removeprefix("\n")
            lines = text.count("\n")
        return text, lines

    def _unusual(self, text: str, place: int, record: str | None) -> int:
        """The position after the row at `place`; negated if the row is good."""
        if record is not None:
            fields = self._fields(record)
            inner = [line for line in record.split("\n")[1:] if line]
            broken = any("\n" in value for at, value in enumerate(fields) if at in self.typed)
            if len(fields) == self.width and not broken:
                like_rows = sum(line.count(self.separator) + 1 == self.width for line in inner)
                if 2 * like_rows < len(inner):
                    return -(place + len(record) + 1)
                for offset, line in enumerate(record.split("\n")):
                    if line:
                        self._reject(self.line + offset, line, SWALLOWS)
                return place + len(record) + 1
        end = text.index("\n", place)
        self._reject(self.line, text[place:end], OPEN)
        return end + 1

    def _fields(self, record: str) -> list[str]:
        fields, place = [], 0
        while place <= len(record):
            match = self._field.match(record, place)
            fields.append(match.group() if match else "")
            place += len(fields[-1]) + 1
        return fields

    def _reject(self, line: int, text: str, reason: str) -> None:
        self.rejected.append((line, text, reason))
