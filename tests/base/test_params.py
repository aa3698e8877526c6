"""A wrong key in params.yaml is an error that names the key."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from base.params import ParamsError, build, load


@dataclass(frozen=True)
class Inner:
    repeats: bool


@dataclass(frozen=True)
class Section:
    size: Literal["tiny", "small"]
    rate: float
    days: tuple[int, ...]
    rules: dict[str, Inner]
    note: str | None = None


GOOD = {"size": "tiny", "rate": 1, "days": [1, 7], "rules": {"home": {"repeats": False}}}


def test_values_become_a_typed_section() -> None:
    section = build(Section, "fit", GOOD)
    assert section == Section("tiny", 1.0, (1, 7), {"home": Inner(False)}, None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sise": "tiny"}, "unknown key 'fit.sise'"),
        ({"size": "huge"}, "'fit.size' must be one of"),
        ({"rate": "fast"}, "'fit.rate' must be float"),
        ({"days": 7}, "'fit.days' must be a list"),
        ({"days": ["x"]}, "'fit.days' must be int"),
        ({"rules": {"home": {"repeat": True}}}, "unknown key 'fit.rules.home.repeat'"),
        ({"note": 3}, "'fit.note' must be str"),
    ],
)
def test_a_wrong_key_is_named(change: dict[str, object], message: str) -> None:
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
