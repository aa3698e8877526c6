"""The terminal output of a running job."""

import os
import subprocess
import sys

import pytest

CODE = """
import os
from pathlib import Path
from flows.loop.console import Console
from flows.stages import output_to
console = Console()
with console.step("fit", "transformer") as step:
    with output_to(Path(os.environ["LOG"])):
        os.system("echo noise of a stage")
        print("more noise")
        console.line("a line meanwhile")
    step.advance(1, 2)
    step.text = "ndcg@10 0.5"
print("after", round(console.steps["fit"]) >= 0)
"""


@pytest.mark.parametrize("columns", ["40", "200"])
def test_a_step_is_one_line_and_stages_do_not_disturb_it(
    tmp_path_factory: pytest.TempPathFactory, columns: str
) -> None:
    log = tmp_path_factory.mktemp("console") / "stage.log"
    result = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**os.environ, "LOG": str(log), "COLUMNS": columns},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = result.stdout.splitlines()
    assert lines[0] == "a line meanwhile"
    assert "transformer" in lines[1]
    assert lines[1].endswith("ndcg@10 0.5")
    assert lines[2:] == ["after True"]
    assert log.read_text().splitlines() == ["noise of a stage", "more noise"]
