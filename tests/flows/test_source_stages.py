"""Adding a source reruns only its own stage and those that read it.

Uses real DVC, with stages that only record that they ran.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flows.source_stages import bring_in

#: Stands in for `python` in every stage: makes the outputs, always the same, and tells of it.
STAND_IN = """\
#!{python}
import os, pathlib, yaml
name = os.environ["DVC_STAGE"]
stage = yaml.safe_load(open("dvc.yaml"))["stages"][name]
for out in stage.get("outs", []):
    pathlib.Path(out).mkdir(parents=True, exist_ok=True)
    pathlib.Path(out, "made").write_text(name)
for metric in stage.get("metrics", []):
    pathlib.Path(metric).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(metric).write_text("{{}}")
with open("ran", "a") as file:
    file.write(name + "\\n")
"""
#: What somebody does by hand: a file of their own, and two lines in one other.
ADDED = "training/sources/last_category.py"
NAMED = "training/sources/all.py"


@pytest.fixture
def copy(checkout: Path, tmp_path: Path) -> Path:
    for package in ("base", "features", "training", "serving", "flows", "simulation"):
        shutil.copytree(
            checkout / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(checkout / name, tmp_path)
    stand_in = tmp_path / "bin" / "python"
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN.format(python=sys.executable))
    stand_in.chmod(0o755)
    command(tmp_path, "dvc", "init", "-q", "--no-scm")
    return tmp_path


def command(root: Path, *words: str) -> None:
    """`python -m` of this Python, in which stages find the stand-in."""
    environment = os.environ | {
        "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(root),
    }
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def ran(root: Path) -> list[str]:
    """The stages that ran since the last time, in their order."""
    command(root, "dvc", "repro", "-q")
    names = (root / "ran").read_text().split() if (root / "ran").exists() else []
    (root / "ran").unlink(missing_ok=True)
    return names


@pytest.mark.slow
def test_adding_a_source_runs_its_own_stage_and_what_reads_it(copy: Path, checkout: Path) -> None:
    every = ran(copy)
    assert {"split", "features", "fit", "neighbours", "popularity", "package"} <= set(every)
    assert ran(copy) == []
    shutil.copy(checkout / "tests/training/last_category.py", copy / ADDED)
    text = (copy / NAMED).read_text()
    text = text.replace(
        "from training.sources.neighbours",
        "from training.sources.last_category import LastCategory\nfrom training.sources.neighbours",
    )
    (copy / NAMED).write_text(text.rstrip().removesuffix(")") + "    LastCategory,\n)\n")
    command(copy, "flows.dependencies")
    assert ran(copy) == ["last_category", "candidates", "trees", "evaluate", "package"]
    assert ran(copy) == []


@pytest.mark.slow
def test_changing_a_source_runs_its_own_stage_and_what_reads_it(copy: Path) -> None:
    ran(copy)
    with (copy / "training/sources/neighbours.py").open("a") as file:
        file.write("# changed\n")
    assert ran(copy) == ["neighbours", "candidates", "trees", "evaluate", "package"]


def test_stages_of_sources_that_are_gone_are_taken_out(checkout: Path) -> None:
    pipeline = (checkout / "dvc.yaml").read_text()
    assert bring_in(pipeline) == pipeline
    gone = pipeline.replace("popularity", "best_sellers")
    assert "  best_sellers:\n" in gone
    left = bring_in(gone)
    assert "  best_sellers:\n" not in left
    assert "data/sources/best_sellers" not in left
