"""A stored record is read back unchanged, and anything that does not fit is refused."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import ValidationError

from base.record import Number, Record, RecordError


@dataclass(frozen=True)
class Inner:
    low: Number


class Document(Record):
    name: str
    inner: dict[str, Inner]
    mean: Number = math.nan
    limit: int | float | None = None


DOCUMENT = Document(name="a", inner={"x": Inner(math.inf)}, mean=math.nan, limit=400)


def test_what_is_no_number_is_null_in_json_and_nan_again(tmp_path: Path) -> None:
    DOCUMENT.write(tmp_path / "document.json")
    stored = json.loads((tmp_path / "document.json").read_text())
    assert stored == {"name": "a", "inner": {"x": {"low": None}}, "mean": None, "limit": 400}
    again = Document.read(tmp_path / "document.json")
    assert math.isnan(again.inner["x"].low)
    assert math.isnan(again.mean)
    assert isinstance(again.limit, int)


def test_a_record_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        DOCUMENT.name = "b"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"name": "a", "inner": {}, "new": 1},
            "another version of this program wrote it, with new",
        ),
        ({"name": "a", "inner": {"x": {"low": 1, "new": 1}}}, "wrote it, with inner.x.new"),
        ({"name": "a"}, "document cannot be read: inner: Field required"),
        ({"name": "a", "inner": {"x": {"low": "much"}}}, "inner.x.low: Input should be a valid"),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_it(
    content: dict[str, object], message: str
) -> None:
    with pytest.raises(RecordError, match=message) as caught:
        Document.stored(content)
    assert "\n" not in str(caught.value)
