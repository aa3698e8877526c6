"""A failure gives its reason in one line, and the log file that it names exists."""

import logging
import re
from pathlib import Path

import pytest
from prefect.logging import disable_run_logger

from flows import foreseen_failures, stages
from flows.stages import StageFailed
from flows.workspace import Workspace


def failure(workspace: Workspace, logs: Path) -> tuple[str, str]:
    """The message of a failing stage, and the content of the log that it names."""
    with disable_run_logger(), pytest.raises(StageFailed) as raised:
        stages.run_stage.fn(workspace, "split", logs)
    message = str(raised.value)
    named = re.search(r"\(all of it: (.+)\)$", message)
    assert named is not None, message
    return message, Path(named[1]).read_text()


def test_a_stage_that_never_began_names_a_log_that_says_what_kept_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    message, log = failure(workspace, tmp_path / "logs")
    assert "stage split failed" in message
    assert "data/log" in message
    assert "data/log" in log


def test_a_stage_that_failed_is_told_by_its_last_line(workspace: Workspace, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    workspace.log.mkdir(parents=True)
    pipeline = workspace.root / "dvc.yaml"
    command = (
        "echo began > $RONDO_STAGE_LOGS/split.log; echo no room >> $RONDO_STAGE_LOGS/split.log"
    )
    pipeline.write_text(
        pipeline.read_text().replace("exec cp -r ${input} data/split", f"{command}; false", 1)
    )
    logs.mkdir()
    message, log = failure(workspace, logs)
    assert message.startswith("stage split failed: no room (all of it: ")
    assert log == "began\nno room\n"


@pytest.mark.parametrize("name", foreseen_failures.LOGGERS)
def test_a_foreseen_failure_is_logged_without_its_stack(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreseen_failures.tell_briefly()
    foreseen_failures.tell_briefly()
    logger = logging.getLogger(name)
    assert sum(isinstance(present, foreseen_failures.Brief) for present in logger.filters) == 1
    monkeypatch.setattr(logger, "handlers", [caplog.handler])  # Prefect's wants a run
    monkeypatch.setattr(logger, "propagate", False)
    for error in (StageFailed("no room"), ZeroDivisionError("a fault of ours")):
        try:
            raise error
        except Exception:
            logger.exception("failed")
    foreseen, unforeseen = caplog.records
    assert foreseen.exc_info is None
    assert unforeseen.exc_info is not None
