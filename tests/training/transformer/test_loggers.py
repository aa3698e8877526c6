"""Each logger writes below its folder, offline. An error names a logger that is not installed."""

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from training.transformer.loggers import QUIET, LoggerName, open_logger

VARIABLES = (*QUIET, "MLFLOW_TRACKING_URI", "WANDB_MODE")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clear the loggers' variables before the test, and restore them after it."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def log(name: LoggerName, folder: Path, runs: tuple[str, ...] = ("fit",)) -> None:
    for run in runs:
        with open_logger(name, folder, run) as logger:
            assert isinstance(logger, Logger)
            logger.log_hyperparams({"dropout": 0.3})
            for step in range(3):
                logger.log_metrics({"loss": 3.0 - step}, step)
            logger.finalize("success")


def test_tensorboard_has_the_curve_and_the_parameters(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log("tensorboard", tmp_path)
    [written] = (tmp_path / "tensorboard" / "fit").glob("version_0/events*")
    events = EventAccumulator(str(written))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("loss")] == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert "dropout: 0.3" in written.with_name("hparams.yaml").read_text()


def test_none_is_no_logger(tmp_path: Path) -> None:
    with open_logger("none", tmp_path / "logs", "fit") as logger:
        assert logger is False
    assert not (tmp_path / "logs").exists()


def test_only_the_first_process_of_a_distributed_run_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with open_logger("tensorboard", tmp_path / "logs", "fit") as logger:
        assert logger is False
    assert not (tmp_path / "logs").exists()


#: Runs in a process of its own: whoever asks for a package once is told the same from then on.
WITHOUT = """
import sys
from pathlib import Path
sys.modules["mlflow"] = sys.modules["wandb"] = None
from base.errors import InputError
from training.transformer.loggers import open_logger
for name in ("mlflow", "wandb"):
    try:
        with open_logger(name, Path(sys.argv[1]), "fit"):
            print("opened")
    except InputError as error:
        print(error)
"""


def test_a_package_that_is_not_installed_is_named(tmp_path: Path, checkout: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, str(tmp_path)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert re.fullmatch("the logger 'mlflow' needs.*pip install mlflow-skinny", first)
    assert re.fullmatch("the logger 'wandb' needs.*pip install.*wandb.*", second)


@pytest.mark.filterwarnings("ignore")  # of MLflow's own making, with a newer SQLAlchemy
def test_mlflow_keeps_its_runs_in_one_local_file(tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed: pip install mlflow-skinny")
    log("mlflow", tmp_path, ("fit", "again"))
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        runs = database.execute("SELECT name, status FROM runs ORDER BY start_time").fetchall()
        losses = database.execute("SELECT value FROM metrics WHERE key = 'loss'").fetchall()
        params = database.execute("SELECT DISTINCT key, value FROM params").fetchall()
    database.close()
    assert runs == [("fit", "FINISHED"), ("again", "FINISHED")]
    assert sorted(value for (value,) in losses) == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
    assert params == [("dropout", "0.3")]
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_weights_and_biases_keeps_a_run_of_its_own_for_each_and_stays_offline(
    tmp_path: Path,
) -> None:
    pytest.importorskip("wandb", reason='Weights & Biases is not installed: extra "wandb"')
    log("wandb", tmp_path, ("fit", "again"))
    runs = list((tmp_path / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(runs) == 2
    assert all(run.stat().st_size for run in runs)
    assert "WANDB_MODE" not in os.environ
