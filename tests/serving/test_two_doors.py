"""The service and a file give the same verdict and content for the same record."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from features.ingest import read_source, store_events, store_items
from features.schema import DAY, HOUR
from serving import catalogue_feed
from serving.feedback import check
from serving.models import CatalogueInput
from serving.signing import Signer

NOW = 20_000 * DAY + 12 * HOUR
SIGNER = Signer(b"key")
EVENT = {
    "user_id": "u",
    "item_id": "i",
    "event_type": "rating",
    "value": 4,
    "timestamp": NOW - HOUR,
}
ITEM = {"item_id": "i", "title": "One"}

IDS: list[Any] = [
    "a b", " a ", "\u00a0a", "a\u3000", "", "  ", None, 7, 0, -1, 7.0, 1e3, 7.5, 2**63, 1e30, "007",
    "100.0", "100.50", "1e5", "1.2e+08", "1.23457E+15", True, "true", ["a", "b"], [], [5], {},
    "['a', 'b']", "[REC]", "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}", "null", "NaN", "\\N", "Null",
    "a\tb", "a\nb", "a\0b", "\x7f", "\u00e9", "e\u0301", "\U0001f468\u200d\U0001f469", "\ufeffa",
    "a/b?c#d&e%00", "\u200b", "x" * 200, "x" * 201, "\U0001f600" * 200, "\x85a", "\u2028a",
]  # fmt: skip
NUMBERS: list[Any] = [
    None, "", 0, -3, 4.5, "4.5", " 4.5 ", "+5", "5.", ".5", "1e5", "1_000", "1,5", "much", True,
    [1], {}, "inf", "NaN", "1e400", 1e308, "0x10", "\u0663", "3\u00a0", "1 000", 10**30,
]  # fmt: skip
KINDS: list[Any] = ["RATING", " View ", "\u00a0like", "achat", "", None, 1, []]
TEXTS: list[Any] = [None, "", 5, True, "x" * 30_000, "x" * (1 << 20) + "x", "a\0", "a\nb"]
FLAGS: list[Any] = [
    None, "", True, 0, 1, 1.0, "yes", "NO", "on", "off", "T", " y", 2, "-",
]  # fmt: skip
CATEGORIES: list[Any] = [
    None, "", [], "a|b", " a | |b ", ["a", "a", " b "], [1, 2.5], '["a", "b"]', "['a', 'b']",
    "{a,b}",
    '{"z", "y", "x"}', [["a", "b"], ["a", "c"]], [{"id": 1, "name": "a"}], ["c" * 500],
    [str(n) for n in range(300)],
]  # fmt: skip
CREATED = ["1965-03-02", "2020-01-01T02:00+02:00", "", None, "soon", "2200-01-01", "9999-12-31"]

EVENTS: list[dict[str, Any]] = [
    *({name: value} for name in ("user_id", "item_id", "placement", "event_id") for value in IDS),
    *({"value": value} for value in NUMBERS),
    *({"event_type": value} for value in KINDS),
    *({"query": value} for value in TEXTS),
    {"event_type": "search", "item_id": None, "query": "shoes"},
    {"event_type": "watch", "value": None},
    {"event_type": "watch", "value": -5},
]
ITEMS: list[dict[str, Any]] = [
    {name: value}
    for name, values in {
        "item_id": IDS,
        "price": NUMBERS,
        "available": FLAGS,
        "title": TEXTS,
        "categories": CATEGORIES,
        "created_at": CREATED,
    }.items()
    for value in values
]
SHOWN = ("user_id", "item_id", "event_type", "value", "query", "placement", "timestamp")


def plain(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    def time(value: Any) -> Any:
        return int(value.timestamp() * 1_000_000) if hasattr(value, "timestamp") else value

    return {name: time(row[name]) for name in names}


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str | dict[str, Any]]:
    """By position in EVENTS: the reason why the import refused it, or what it stored."""
    folder = tmp_path_factory.mktemp("events")
    lines = [json.dumps({"event_id": f"e{n}"} | EVENT | made) for n, made in enumerate(EVENTS)]
    (folder / "events.jsonl").write_text("\n".join(lines))
    source = read_source(folder / "events.jsonl")
    store_events(source.events, folder / "log", 0, NOW)
    found: dict[int, str | dict[str, Any]] = {}
    for part in (folder / "log").glob("quarantine/events/*.parquet"):
        found |= {row["row"]: row["reason"] for row in pq.read_table(part).to_pylist()}
    ids = {f"e{n}": n for n in range(len(EVENTS))}
    for part in (folder / "log").glob("events/dt=*/*.parquet"):
        for row in pq.read_table(part).to_pylist():
            if row["event_id"] in ids:
                found[ids[row["event_id"]]] = plain(row, SHOWN)
    return found


@pytest.mark.parametrize("place", range(len(EVENTS)), ids=lambda n: ascii(EVENTS[n])[:60])
def test_an_event_has_one_verdict_and_one_content(
    place: int, imported: dict[int, str | dict[str, Any]]
) -> None:
    made = EVENTS[place]
    rows, rejected = check([{"event_id": f"e{place}"} | EVENT | made], SIGNER, NOW)
    said = [r.reason for r in rejected]
    if "event_id" not in made:
        assert said or plain(rows[0], SHOWN) == imported[place]
        assert not said or said == [imported[place]]
    elif said not in ([], ["event_id is missing"]):
        # An import makes an id where there is none, and finds an equal one twice.
        assert said == [imported[place]]


@pytest.mark.parametrize("made", ITEMS, ids=lambda made: ascii(made)[:60])
def test_an_item_has_one_verdict_and_one_content(
    made: dict[str, Any], tmp_path: Path, sqlite: sa.Engine
) -> None:
    (tmp_path / "items.jsonl").write_text(json.dumps(ITEM | made))
    names = ("item_id", "title", "categories", "price", "available", "created_at")
    imported: list[dict[str, Any]] = []
    try:
        source = read_source(tmp_path / "items.jsonl")
        report = store_items(source.items, tmp_path / "log", 0, NOW, source.dated)
        for part in report.partitions:
            imported += [
                plain(r, names) for r in pq.read_table(tmp_path / "log" / part).to_pylist()
            ]
    except ValueError:
        pass
    sent: list[dict[str, Any]] = []
    try:
        items = CatalogueInput.model_validate_json(json.dumps({"items": [ITEM | made]})).items
        rows = [item.model_dump() | {"received_at": NOW} for item in items]
        catalogue_feed.upsert(sqlite, rows)
        sent = [plain(row, names) for row in catalogue_feed.read(sqlite, 0).to_pylist()]
    except (ValidationError, catalogue_feed.RefusedItems):
        pass
    for row in (*imported, *sent):
        row["categories"] = row["categories"] or []
    assert sent == imported
