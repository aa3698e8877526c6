"""What the documentation says is so: commands, files, settings and links exist."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from features.settings import Settings


def documents(checkout: Path) -> list[Path]:
    return [checkout / "README.md", *sorted((checkout / "docs").rglob("*.md"))]


def test_every_make_target_in_the_documents_exists(checkout: Path) -> None:
    makefile = (checkout / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    for document in documents(checkout):
        named = re.findall(r"(?:^|`)make ([a-z-]+)", document.read_text(), flags=re.MULTILINE)
        assert set(named) <= targets, document


def test_every_rondo_command_in_the_documents_exists(checkout: Path) -> None:
    from flows.cli import app

    commands = set(getattr(get_command(app), "commands", {}))
    for document in documents(checkout):
        named = re.findall(r"(?:^|`)rondo ([a-z]+)", document.read_text(), flags=re.MULTILINE)
        assert set(named) <= commands, document


def test_the_file_tree_is_true(checkout: Path) -> None:
    readme = (checkout / "README.md").read_text()
    tree = readme.split("## What is where")[1].split("```")[1]
    for line in tree.strip().splitlines():
        assert (checkout / line.split()[0]).exists(), line


def test_relative_links_lead_somewhere(checkout: Path) -> None:
    for document in documents(checkout):
        for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document}: {target}"


def test_every_rondo_setting_in_the_documents_is_a_setting(checkout: Path) -> None:
    known = {f"RONDO_{name.upper()}" for name in Settings.model_fields}
    for document in documents(checkout):
        named = set(re.findall(r"`(RONDO_[A-Z_]+)`", document.read_text()))
        assert named <= known, document


@pytest.mark.parametrize("heading", ["Try it", "What is where", "Bring your own data"])
def test_the_readme_answers_a_newcomers_questions(checkout: Path, heading: str) -> None:
    assert f"## {heading}" in (checkout / "README.md").read_text()
