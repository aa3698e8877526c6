"""Import the examples in the guides on data, and check that the output is as printed there."""

import gzip
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from base import params
from features.ingest import (
    IngestParams,
    TableMapping,
    read_source,
    store_events,
    store_items,
    store_users,
)
from features.schema import EventType
from flows import reasons
from tests.features.ingest.bringing import NOW, stored

GUIDES = Path(__file__).parents[3] / "docs" / "guides"
_BLOCK = re.compile(r"^```(\w+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """An example in a guide.

    files: text by name; mapping: section `ingest` of params.yaml; told: the printed output.
    """

    files: dict[str, str]
    mapping: IngestParams
    told: str


def examples(name: str) -> dict[str, Example]:
    """Every part of a guide with a file and the output of its import, by heading."""
    found = {}
    for part in re.split(r"^#{2,3} ", (GUIDES / name).read_text(), flags=re.MULTILINE)[1:]:
        blocks = _BLOCK.findall(part)
        files = {file: text for _, file, text in blocks if file}
        told = [text for kind, file, text in blocks if kind == "text" and not file]
        yamls = [text for kind, _, text in blocks if kind == "yaml"]
        if not files:
            continue
        assert len(told) == 1, part
        assert len(yamls) <= 1, part
        section = (yaml.safe_load(yamls[0]) if yamls else {}).get("ingest", {})
        built = params.build(IngestParams, "ingest", section)
        found[f"{name}: {part.splitlines()[0]}"] = Example(files, built, told[0])
    return found


EXAMPLES = examples("data.md") | examples("layouts.md")


def place(example: Example, folder: Path) -> Path:
    """Write the files in the encoding of the mapping. Returns the folder, or the only file."""
    folder.mkdir()
    events = example.mapping.mapping.events
    for name, text in example.files.items():
        encoding = events.encoding if events and events.path in (None, name) else "utf-8"
        content = text.encode(encoding)
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return folder / name if len(example.files) == 1 else folder


@pytest.mark.parametrize("heading", EXAMPLES)
def test_an_example_of_the_guides_is_imported_as_it_says(tmp_path: Path, heading: str) -> None:
    example = EXAMPLES[heading]
    source = read_source(place(example, tmp_path / "export"), example.mapping.mapping)
    reports = [
        store_events(source.events, tmp_path / "log", 0, NOW),
        store_items(source.items, tmp_path / "log", 0, NOW, source.dated),
        store_users(source.users, tmp_path / "log"),
    ]
    counts: dict[str, int] = {}
    for report in reports:
        for reason, count in report.reasons.items():
            counts[reason] = counts.get(reason, 0) + count
    told = [
        f"{reports[0].stored} events and {reports[1].stored} items stored, "
        f"{sum(report.quarantined for report in reports)} rows quarantined",
        *reasons.lines(counts),
    ]
    assert "\n".join(told) == example.told.strip("\n")


def test_every_option_of_a_mapping_is_in_an_example() -> None:
    tables = [
        table
        for example in EXAMPLES.values()
        for table in (example.mapping.mapping.events, example.mapping.mapping.items)
        if table is not None
    ]
    for option, default in vars(TableMapping()).items():
        assert any(getattr(table, option) != default for table in tables), option


@pytest.mark.parametrize(
    ("heading", "expected"),
    [
        (
            "data.md: Files that are not plain CSV",
            '7 Crème "brûlée purchase 1234.5 2024-03-01T12:00',
        ),
        ("data.md: Times since another day", "u1 i1 view None 2017-01-01T00:00"),
        ("data.md: Watch time", "u1 v1 watch 1800.0 2024-05-01T10:00"),
        ("layouts.md: RetailRocket", "257597 355908 view None 2015-06-02T05:02"),
        ("layouts.md: Last.fm 1K users", "user_000001 a7f7df4a view None 2009-05-04T13:54"),
        ("layouts.md: Yoochoose", "1 214536502 click None 2014-04-07T10:51"),
        ("layouts.md: H&M", "000058a1 0663713001 purchase 0.0508 2018-09-20T00:00"),
        ("layouts.md: goodbooks-10k", "1 258 rating 5.0 2017-09-01T00:00"),
        (
            "layouts.md: Steam-200k",
            "151603712 The Elder Scrolls V, Skyrim purchase 1.0 2017-03-01T00:00",
        ),
        ("layouts.md: Amazon reviews", "A3H B001 rating 5.0 2015-05-12T00:00"),
        ("layouts.md: OTTO", "0 1517085 click None 2022-07-31T22:00"),
    ],
)
def test_what_is_stored_of_an_example_is_what_its_file_says(
    tmp_path: Path, heading: str, expected: str
) -> None:
    example = EXAMPLES[heading]
    source = read_source(place(example, tmp_path / "export"), example.mapping.mapping)
    store_events(source.events, tmp_path / "log", 0, NOW)
    told = {
        f"{row['user_id']} {row['item_id']} {row['event_type']} {row['value']} "
        f"{row['timestamp']:%Y-%m-%dT%H:%M}"
        for row in stored(tmp_path / "log")
    }
    assert expected in told


def test_items_of_the_layouts_have_their_titles_categories_and_prices(tmp_path: Path) -> None:
    found = {}
    for number, heading in enumerate(("RetailRocket", "H&M", "goodbooks-10k", "MIND")):
        example = EXAMPLES[f"layouts.md: {heading}"]
        source = read_source(place(example, tmp_path / f"{number}"), example.mapping.mapping)
        store_items(source.items, tmp_path / f"log{number}", 0, NOW, source.dated)
        for row in stored(tmp_path / f"log{number}", "items"):
            found[row["item_id"]] = (row["title"], row["categories"], row["price"])
    assert found["355908"] == (None, ["1338"], 277200.0)
    assert found["0663713001"] == ("Atlanta Push Body", ["Underwear body"], None)
    assert found["258"][0] == "The Shadow of the Wind (The Cemetery of Forgotten Books, #1)"
    assert found["N1"] == ('The "Brands', ["lifestyle"], None)


def test_the_guide_names_every_event_type() -> None:
    lines = (GUIDES / "data.md").read_text().splitlines()
    (named,) = (line for line in lines if line.startswith("Event types are "))
    assert re.findall(r"`(\w+)`", named) == [*EventType]
