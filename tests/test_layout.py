"""Imports go one way, files stay small, and the service stays light."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
import yaml

PACKAGES = ("base", "features", "training", "serving", "flows", "simulation", "benchmarks")

#: What each package may import of ours.
ALLOWED = {
    "base": {"base"},
    "features": {"base", "features"},
    "training": {"base", "features", "training"},
    "serving": {"base", "features", "training", "serving"},
    "flows": set(PACKAGES),
    "simulation": {"base", "simulation", "features"},
    "benchmarks": {"base", "features", "training", "serving", "simulation", "benchmarks"},
}
#: What the simulation may know of the product: the words, not the workings.
SIMULATION_MAY_IMPORT = {"features.schema", "base.arrays", "base.params", "base.outputs"}


def sources(checkout: Path, package: str) -> list[Path]:
    return sorted((checkout / package).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module in PACKAGES:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_go_one_way(checkout: Path, package: str) -> None:
    for path in sources(checkout, package):
        ours = {m for m in imports(path) if m.split(".")[0] in PACKAGES}
        assert {m.split(".")[0] for m in ours} <= ALLOWED[package], path


def test_no_modules_import_each_other_in_a_circle(checkout: Path) -> None:
    """Imports inside functions count too. A package stands only for its `__init__`."""
    paths = {path: path.relative_to(checkout) for p in PACKAGES for path in sources(checkout, p)}
    modules = {
        ".".join(name.with_suffix("").parts).removesuffix(".__init__"): path
        for path, name in paths.items()
    }
    graph = {}
    for module, path in modules.items():
        nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
        named = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
        graph[module] = (imports(path) | named) & modules.keys() - {module}
    TopologicalSorter(graph).prepare()  # raises CycleError with the circle


def test_the_schema_imports_nothing_of_ours(checkout: Path) -> None:
    ours = {m for m in imports(checkout / "features/schema.py") if m.split(".")[0] in PACKAGES}
    assert not ours


def test_the_simulation_talks_to_the_service_like_any_client(checkout: Path) -> None:
    for path in sources(checkout, "simulation"):
        known = {m for m in imports(path) if m.split(".")[0] in ("base", "features")}
        assert known <= SIMULATION_MAY_IMPORT, path


def test_flows_run_stages_through_dvc_only(checkout: Path) -> None:
    pipeline = yaml.safe_load((checkout / "dvc.yaml").read_text())["stages"].values()
    stages = {stage["cmd"].split()[4] for stage in pipeline}
    assert "training.fit" in stages
    for path in sources(checkout, "flows"):
        assert not imports(path) & stages, path


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_no_file_is_longer_than_400_lines(checkout: Path, package: str) -> None:
    for path in sources(checkout, package):
        assert len(path.read_text().splitlines()) <= 400, path


def test_the_service_process_stays_light(checkout: Path) -> None:
    code = (
        "import serving.service, sys; "
        "print([m for m in ('prefect', 'dvc', 'lightning') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
