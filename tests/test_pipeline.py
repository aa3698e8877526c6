"""`dvc.yaml` and `params.yaml` tell the whole truth about the stages."""

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

PACKAGES = ("features", "training", "serving", "simulation")


def pipeline(checkout: Path) -> dict[str, Any]:
    stages: dict[str, Any] = yaml.safe_load((checkout / "dvc.yaml").read_text())["stages"]
    return stages


def module_path(checkout: Path, module: str) -> Path | None:
    base = checkout / module.replace(".", "/")
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.exists():
            return path
    return None


def first_party(checkout: Path, path: Path, seen: set[Path]) -> set[Path]:
    """All our source files that `path` imports, directly or not."""
    if path in seen:
        return seen
    seen.add(path)
    for node in ast.walk(ast.parse(path.read_text())):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
        for module in modules:
            if module.split(".")[0] in PACKAGES:
                found = module_path(checkout, module)
                if found is not None:
                    first_party(checkout, found, seen)
    return seen


def test_every_stage_depends_on_each_module_that_it_imports(checkout: Path) -> None:
    for name, stage in pipeline(checkout).items():
        module = stage["cmd"].split("python -m ")[1].split()[0]
        start = module_path(checkout, module)
        assert start is not None, module
        deps = [checkout / dep for dep in stage["deps"] if "${" not in dep]
        for path in first_party(checkout, start, set()):
            if path.name == "__init__.py":
                continue
            covered = any(path == dep or dep in path.parents for dep in deps)
            assert covered, f"stage {name} does not list {path.relative_to(checkout)}"


def test_every_listed_dependency_exists_or_is_an_output(checkout: Path) -> None:
    stages = pipeline(checkout)
    outputs = {out for stage in stages.values() for out in stage.get("outs", [])}
    for name, stage in stages.items():
        for dep in stage["deps"]:
            known = "${" in dep or dep in outputs or (checkout / dep).exists()
            assert known, f"{name}: {dep}"


@pytest.mark.skipif(sys.platform == "win32", reason="the pipeline runs under WSL2 on Windows")
def test_every_params_section_is_read_by_somebody(checkout: Path) -> None:
    sections = set(yaml.safe_load((checkout / "params.yaml").read_text()))
    source = "\n".join(
        path.read_text() for p in (*PACKAGES, "flows") for path in (checkout / p).rglob("*.py")
    )
    unread = {name for name in sections if f'"{name}"' not in source} - {"input"}
    assert not unread
