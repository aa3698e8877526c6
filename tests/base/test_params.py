"""A wrong key in params.yaml is an error that names the key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from base.params import Bool, Float, Int, ParamsError, build, load


@dataclass(frozen=True)
class Inner:
    repeats: Bool


@dataclass(frozen=True)
class Section:
    size: Literal["tiny", "small"]
    rate: Float
    days: tuple[Int, ...]
    rules: dict[str, Inner]
    note: str | None = None
    count: Annotated[Int, Field(ge=1)] = 1


GOOD = {"size": "tiny", "rate": 1, "days": [1, 7], "rules": {"home": {"repeats": False}}}


def test_values_become_a_typed_section() -> None:
    section = build(Section, "fit", GOOD)
    assert section == Section("tiny", 1.0, (1, 7), {"home": Inner(False)}, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sise": "tiny"}, "unknown key 'fit.sise'"),
        ({"size": "huge"}, "'fit.size' must be 'tiny' or 'small', not 'huge'"),
        ({"rate": "fast"}, "'fit.rate' must be a number, not 'fast'"),
        ({"rate": float("nan")}, "'fit.rate' must be a number, not nan"),
        ({"rate": "nan"}, "'fit.rate' must be a number, not 'nan'"),
        ({"days": 7}, "'fit.days' must be a list"),
        ({"days": ["x"]}, "'fit.days.0' must be a whole number, not 'x'"),
        (
            {"rules": {"home": {"repeat": True}}},
            "unknown key 'fit.rules.home.repeat'; known: re",
        ),
        ({1: 2}, "unknown key 'fit.1'"),
        ({"count": True}, "'fit.count' must be a whole number, not True"),
        ({"count": 2.0}, "'fit.count' must be a whole number, not 2.0"),
        ({"count": "2"}, "'fit.count' must be a whole number, not '2'"),
        ({"count": 0}, "'fit.count' must be at least 1, not 0"),
        ({"rate": True}, "'fit.rate' must be a number, not True"),
        ({"rules": {"home": {"repeats": 1}}}, "'fit.rules.home.repeats' must be true or false"),
        ({"rules": {"home": None}}, "'fit.rules.home' must be a mapping, not None"),
        ({"sise": 1, "rate": "fast"}, "unknown key 'fit.sise'; known: size, rate, days, rules"),
        ({"note": 3}, "'fit.note' must be a text, not 3"),
    ],
)
def test_a_wrong_key_is_named(change: dict[Any, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message.replace(".", r"\.")):
        build(Section, "fit", GOOD | change)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ParamsError, match=r"missing key 'fit\.rate'"):
        build(Section, "fit", {k: v for k, v in GOOD.items() if k != "rate"})


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("split: {}\n")
    with pytest.raises(ParamsError, match="no section 'fit'"):
        load(Section, "fit", path)


@pytest.mark.parametrize("content", [b"a: [1\n", b"fit: {size: \xe9}\n", b"", b"- 1\n"])
def test_a_file_that_is_no_mapping_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ParamsError, match=r"params\.yaml .+") as raised:
        load(Section, "fit", path)
    assert "\n" not in str(raised.value)


def test_an_absent_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="repository root"):
        load(Section, "fit", tmp_path / "params.yaml")
