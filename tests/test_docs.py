"""What the documentation names exists: commands, files, settings and links."""

import importlib
import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from base.settings import Settings
from base.stage import TIME_LIMIT_VARIABLE
from training.transformer.config import RunOptions

TOOLS = ("make", "rondo", "dvc", "prefect", "bentoml")
COMMAND = re.compile(rf"(?:[A-Z_]+=\S+ )*(?:{'|'.join(TOOLS)}) ")


def documents(checkout: Path) -> list[Path]:
    return [checkout / "README.md", *sorted((checkout / "docs").rglob("*.md"))]


def shell_lines(document: Path) -> list[str]:
    """Lines of its shell blocks: complete commands, to be typed as they are."""
    blocks: list[str] = re.findall(r"```sh\n(.*?)```", document.read_text(), flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


def commands(lines: list[str], tool: str) -> list[list[str]]:
    """Arguments of `tool` in those lines that run it, comments and settings left out."""
    parts = [part for line in lines for part in re.split(r"&&|[;|]", line)]
    words = [shlex.split(part, comments=True) for part in parts if COMMAND.match(part.strip())]
    found = [[word for word in line if not re.match(r"RONDO_\w+=", word)] for line in words]
    return [line[1:] for line in found if line[0] == tool]


def named(document: Path, tool: str) -> list[list[str]]:
    """Arguments of `tool` wherever the document names it, in shell blocks or in inline code."""
    prose = re.sub(r"```.*?```", "", document.read_text(), flags=re.DOTALL)
    return commands([*shell_lines(document), *re.findall(r"`([^`\n]+)`", prose)], tool)


def words(arguments: list[str]) -> list[str]:
    """The leading arguments that are names of commands."""
    plain = [bool(re.fullmatch(r"[a-z][a-z-]*", argument)) for argument in arguments]
    return arguments[: [*plain, False].index(False)]


def test_every_make_target_and_variable_in_the_documents_exists(checkout: Path) -> None:
    makefile = (checkout / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    for document in documents(checkout):
        for arguments in named(document, "make"):
            for argument in arguments:
                variable, given, _ = argument.partition("=")
                known = f"$({variable})" in makefile if given else argument in targets
                assert known, f"{document}: make {argument}"


def test_every_rondo_command_in_the_documents_exists(checkout: Path) -> None:
    from flows.cli import app

    known = getattr(get_command(app), "commands", {})
    for document in documents(checkout):
        for arguments in named(document, "rondo"):
            assert arguments[0] in known, f"{document}: rondo {arguments}"
        for name, *rest in commands(shell_lines(document), "rondo"):
            known[name].make_context(name, rest)  # raises for an option or argument too many


def test_every_dvc_command_in_the_documents_exists(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from dvc.cli.parser import get_main_parser

    parser = get_main_parser()
    for document in documents(checkout):
        for arguments in commands(shell_lines(document), "dvc"):
            parser.parse_args(arguments)
        for arguments in named(document, "dvc"):
            with pytest.raises(SystemExit) as ended:
                parser.parse_args([*words(arguments), "--help"])
            assert ended.value.code == 0, f"{document}: dvc {arguments}"
    assert "usage: dvc repro" in capsys.readouterr().out


def test_every_prefect_and_bentoml_command_in_the_documents_exists(checkout: Path) -> None:
    found = {
        (tool, *words(arguments))
        for document in documents(checkout)
        for tool in ("prefect", "bentoml")
        for arguments in named(document, tool)
    }
    assert found
    for command in sorted(found):
        result = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr


def test_every_deployment_in_the_documents_is_in_prefect_yaml(checkout: Path) -> None:
    known = set()
    for deployment in yaml.safe_load((checkout / "prefect.yaml").read_text())["deployments"]:
        path, name = deployment["entrypoint"].split(":")
        module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
        known.add(f"{getattr(module, name).name}/{deployment['name']}")
    run = [a for d in documents(checkout) for a in named(d, "prefect") if a[1:2] == ["run"]]
    assert run
    for arguments in run:
        assert arguments[2] in known, arguments


def test_the_file_tree_is_true_and_complete(checkout: Path) -> None:
    readme = (checkout / "README.md").read_text()
    tree = readme.split("## What is where")[1].split("```")[1]
    listed = {line.split()[0].rstrip("/") for line in tree.strip().splitlines()}
    for name in listed:
        assert (checkout / name).exists(), name
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=checkout, capture_output=True, text=True, check=True
    ).stdout
    top = {path.split("/")[0] for path in tracked.splitlines()}
    visible = {name for name in top if not name.startswith(".")}
    assert visible - {"README.md", "dvc.lock"} <= listed


def test_relative_links_lead_somewhere(checkout: Path) -> None:
    for document in documents(checkout):
        for target in re.findall(r"\]\(([^)#]+)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document}: {target}"


def test_every_rondo_setting_in_the_documents_is_a_setting(checkout: Path) -> None:
    known = {f"RONDO_{name.upper()}" for name in Settings.model_fields}
    known |= {f"RONDO_TRAIN_{name.upper()}" for name in RunOptions.model_fields}
    known.add(TIME_LIMIT_VARIABLE)
    for document in documents(checkout):
        found = set(re.findall(r"\b(RONDO_[A-Z_]*[A-Z])\b", document.read_text()))
        assert found <= known, document


def test_every_extra_in_the_documents_can_be_installed(checkout: Path) -> None:
    project = tomllib.loads((checkout / "pyproject.toml").read_text())["project"]
    for document in documents(checkout):
        found = set(re.findall(r"\"\.\[([a-z0-9]+)\]\"", document.read_text()))
        assert found <= set(project["optional-dependencies"]), document


@pytest.mark.parametrize("heading", ["Try it", "What is where", "Bring your own data"])
def test_the_readme_answers_a_newcomers_questions(checkout: Path, heading: str) -> None:
    assert f"## {heading}" in (checkout / "README.md").read_text()
