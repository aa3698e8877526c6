"""Write the curves of a training run to TensorBoard, MLflow or Weights & Biases, chosen by name.

By default all of them write below a local folder, without a server, an account or network access.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import FileLock

from base.errors import InputError
from training.transformer.config import LoggerName

if TYPE_CHECKING:  # settings use these names in processes that do not train
    from lightning.pytorch.loggers import Logger

PROJECT = "rondo"
"""Name of the experiment in MLflow, and of the project in Weights & Biases."""

INSTALL: dict[LoggerName, str] = {
    "tensorboard": 'pip install -e ".[train]"',
    "mlflow": "pip install mlflow-skinny",
    "wandb": 'pip install -e ".[wandb]"',
}
"""How to install each logger.

MLflow is not an extra of ours: without its server it has no conflicting requirements, but its full
package pins other versions than we do.
"""

#: Defaults for these variables, so that the libraries neither report their use nor print about
#: themselves.
QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "WANDB_ERROR_REPORTING": "false",
    "WANDB_SILENT": "true",
}


@contextmanager
def open_logger(name: LoggerName, folder: Path, run: str) -> "Iterator[Logger | Literal[False]]":
    """The `logger` argument of Lightning's Trainer for one run, closed after the block.

    folder: all state goes below it (`tensorboard/<run>`, `mlflow.db`, `wandb`), unless
    MLFLOW_TRACKING_URI names a server. Weights & Biases stays offline unless WANDB_MODE is set.
    Returns False for `none`, and in all processes of a distributed run except the first. Raises
    InputError, which names the package, if it is not installed.
    """
    from lightning.pytorch.utilities import rank_zero_only

    if name == "none" or rank_zero_only.rank:  # type: ignore[attr-defined]
        yield False
        return
    for key, value in QUIET.items():
        os.environ.setdefault(key, value)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        logger = _open(name, folder, run)
    except ModuleNotFoundError as error:
        raise InputError(
            f"the logger '{name}' needs a package that is not installed: {INSTALL[name]}"
        ) from error
    try:
        yield logger
    except BaseException:
        _close(name, 1)
        raise
    _close(name, 0)


def _open(name: LoggerName, folder: Path, run: str) -> "Logger":
    if name == "mlflow":
        from lightning.pytorch.loggers import MLFlowLogger

        uri = os.environ.get("MLFLOW_TRACKING_URI")
        with FileLock(folder / "mlflow.lock"):  # two runs must not create it at once
            logger = MLFlowLogger(
                PROJECT,
                run_name=run,
                tracking_uri=uri or f"sqlite:///{folder.absolute() / 'mlflow.db'}",
                artifact_location=None if uri else (folder.absolute() / "mlflow").as_uri(),
            )
            logger.experiment  # noqa: B018
        return logger
    if name == "wandb":
        from lightning.pytorch.loggers import WandbLogger

        mode = os.environ.get("WANDB_MODE", "offline")
        return WandbLogger(name=run, project=PROJECT, save_dir=folder, mode=mode)
    from lightning.pytorch.loggers import TensorBoardLogger

    return TensorBoardLogger(folder / "tensorboard", name=run, default_hp_metric=False)


def _close(name: LoggerName, exit_code: int) -> None:
    """End the run in Weights & Biases, which otherwise continues until the process ends."""
    if name == "wandb":
        import wandb

        wandb.finish(exit_code)
