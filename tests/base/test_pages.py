"""Pages are single files with escaped text, and do not affect a release's fingerprint."""

import tomllib
from pathlib import Path

import jinja2
import pytest
from matplotlib.figure import Figure

from base import code, pages
from flows.learning_curve import Curve
from training.fingerprint import code_files
from training.tuning.report import Summary


def render(**content: object) -> str:
    summary = Summary("fit", "<study>", "grid", [], None, None, "", written=False)
    return pages.render("training.tuning", "tune.html", summary=summary, **content)


def test_text_is_escaped_and_a_picture_stands_inside_the_page() -> None:
    page = render(picture=Curve([1.0], [0.5]).png())
    assert page.startswith("<!doctype html>")
    assert "<title>Search over 'fit'</title>" in page
    assert "&lt;study&gt;" in page
    assert 'src="data:image/png;base64,' in page
    assert "://" not in page, "a page needs no network"


def test_a_name_that_the_template_misses_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="picture"):
        render()


def test_equal_figures_are_equal_bytes() -> None:
    def draw() -> bytes:
        figure = Figure()
        figure.subplots().plot([1, 2])
        return pages.png(figure)

    assert draw() == draw()


def test_how_a_page_looks_is_not_changed_code(checkout: Path) -> None:
    stages = code.deciding(["training.fit", "training.evaluate"], checkout)
    assert "base/pages.py" not in {*code_files(checkout), *stages}


def test_every_template_is_installed_with_its_package(checkout: Path) -> None:
    packaged = tomllib.loads((checkout / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {
        path.relative_to(checkout).parent.parent.as_posix().replace("/", ".")
        for package in ("base", "features", "training", "serving", "flows")
        for path in (checkout / package).rglob("templates/*.html")
    }
    assert found
    assert {p for p, files in packaged["package-data"].items() if "templates/*.html" in files} == (
        found
    )
