"""Outputs of a stage are replaced whole."""

from pathlib import Path

import pytest

from base.outputs import replace_folder


def test_an_output_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with replace_folder(output) as folder:
        (folder / "a").write_text("first")

    def fail() -> None:
        with replace_folder(output) as folder:
            (folder / "a").write_text("half")
            raise RuntimeError("crash")

    with pytest.raises(RuntimeError, match="crash"):
        fail()
    assert (output / "a").read_text() == "first"
    with replace_folder(output) as folder:
        (folder / "b").write_text("second")
    assert [p.name for p in output.iterdir()] == ["b"]
