"""Every row of a file is stored or quarantined with a reason, whatever the file looks like."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from features.ingest import IngestError, Mapping, TableMapping, lines, read_source, store_events
from features.ingest.delimited import read_delimited

NOW = 1_800_000_000_000_000
HEADER = "who,what,kind,at,note"
COLUMNS = {"user_id": "who", "item_id": "what", "event_type": "kind", "timestamp": "at"}
GOOD = "u1,i1,click,1735689600,fine"

LINES = st.one_of(
    st.just(GOOD),
    st.just(""),
    st.sampled_from(
        [
            'u1,"i 2",view,1735689601,"a ""quoted"" word"',
            '"u1","i3","view","1735689602","x"',
            'u1,"i4,view,1735689603,open',
            'u1,i5",view,1735689604,"closed"',
            '"u1" x,i6,view,1735689605,',
            "u1,i7,view",
            "u1,i8,view,1735689606,a,b,c",
            ",,,,",
            "   ",
            "u1,i9,view,soon,",
            "u1,i10,view,1735689600000,",
            'u1,i11,view,1735689607,"',
            '"',
            '""',
            "u\x00,i12,view,1735689608,\x00",
            "é,ü,view,1735689609,\U0001f600",
        ]
    ),
    st.text(alphabet="ui1,\"; \t\x00\x1fé'", max_size=30),
)


def outcome(content: bytes, mapping: TableMapping) -> tuple[int, int, list[str]]:
    """Rows stored and quarantined, and the stored ids."""
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "events.csv"
        path.write_bytes(content)
        source = read_source(path, Mapping(events=mapping))
        report = store_events(source.events, Path(temporary) / "log", 0, NOW)
        assert report.rows == report.stored + report.quarantined
        assert sum(report.reasons.values()) == report.quarantined
        ids = [
            value
            for part in report.partitions
            for row in pq.read_table(Path(temporary) / "log" / part).to_pylist()
            for value in (row["user_id"], row["item_id"])
        ]
        return report.stored, report.quarantined, ids


@settings(max_examples=60, deadline=None)
@given(
    st.lists(LINES, max_size=14),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["utf-8", "utf-8-sig", "latin-1", "utf-16"]),
)
@example(
    [GOOD, 'u1,"i2,view,1735689601,', GOOD, 'u2,i3",view,1735689602,"'], "\n", True, True, "utf-8"
)
@example(['u1,"i2,view,1735689601,', *[GOOD] * 8], "\n", False, True, "utf-8")
def test_every_line_is_stored_or_quarantined(
    rows: list[str], end: str, ends: bool, quoting: bool, encoding: str
) -> None:
    text = end.join([HEADER, GOOD, *rows]) + (end if ends else "")
    content = text.encode(encoding, "replace")
    given_encoding = "latin-1" if encoding == "latin-1" else "utf-8"
    mapping = TableMapping(columns=COLUMNS, quoting=quoting, encoding=given_encoding, timestamp="s")
    stored, quarantined, ids = outcome(content, mapping)
    count = len([row for row in rows if row]) + 1
    # A note may hold line breaks: such a row covers several lines.
    assert stored + quarantined <= count
    if not quoting or not any('"' in row for row in rows):
        assert stored + quarantined == count
    assert not any(mark in value for value in ids for mark in "\n\r\t\x00")


@settings(max_examples=40, deadline=None)
@given(st.lists(LINES, max_size=14))
def test_without_free_text_every_line_counts_even_among_stray_quotes(rows: list[str]) -> None:
    columns = COLUMNS | {"placement": "note"}
    content = "\n".join([HEADER, GOOD, *rows]).encode()
    stored, quarantined, _ = outcome(content, TableMapping(columns=columns, timestamp="s"))
    assert stored + quarantined == len([row for row in rows if row]) + 1


def test_small_blocks_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        GOOD,
        "",
        'u2,"i 2",view,1735689601,"two\nlines, both kept"',
        'u3,"i3,view,1,',
        GOOD,
    ] * 50
    path = tmp_path / "events.csv"
    path.write_bytes("\r\n".join([HEADER, *rows]).encode())
    mapping = TableMapping(columns=COLUMNS)
    whole = read_source(path, Mapping(events=mapping)).events
    for size in (1, 7, 64, 1000):
        monkeypatch.setattr(lines, "BLOCK", size)
        with path.open("rb") as stream:
            raw = read_delimited(stream, mapping, "x")
        assert raw.rows == whole.num_rows == 200
        assert raw.rejected.num_rows == 50


def test_stray_quotes_far_apart_lose_nothing() -> None:
    rows = [f"u{n},i{n},view,{1735689600 + n},x" for n in range(60_000)]
    rows[100] = 'u100,"the open quote,view,1735689700,x'
    rows[500] = 'u500,"the open quote,view,1735690100,x'
    rows[900] = 'u900,i900,view,1735690500,"half'
    rows[1300] = 'u1300,i1300,view,1735690900,half"'
    content = "\n".join([HEADER, *rows]).encode()
    stored, quarantined, _ = outcome(content, TableMapping(columns=COLUMNS))
    assert stored + quarantined == 60_000
    assert quarantined < 500
    text = TableMapping(columns=COLUMNS, quoting=False)
    assert outcome(content, text)[:2] == (60_000, 0)


def test_a_quoted_text_over_several_lines_is_one_row() -> None:
    content = f'{HEADER}\nu1,i1,view,1735689600,"one\n\ntwo, three\n"\n{GOOD}\n'.encode()
    assert outcome(content, TableMapping(columns=COLUMNS))[:2] == (2, 0)


def test_a_line_that_cannot_be_decoded_is_named_by_number() -> None:
    content = "\n".join([HEADER, *[GOOD] * 300_000]).encode() + b"\nu,caf\xe9,click,1735689600,\n"
    with pytest.raises(IngestError, match="line 300002 is not utf-8"):
        outcome(content, TableMapping(columns=COLUMNS))
