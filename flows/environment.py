"""The environment in which all tools run: state below RONDO_HOME, our Python first, no telemetry.

`make` writes the same variables to `.rondo/env`. This module sets them for processes started
without it. Variables that are set stay, except PATH, which always begins with this interpreter's
folder, because DVC runs stages as `python`.
"""

import os
import sys
from pathlib import Path

from pydantic import ValidationError

from base.settings import Settings

CHECKOUT = Path(__file__).resolve().parent.parent

QUIET = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "OTEL_SDK_DISABLED": "true",
    # Waiting OpenMP threads sleep instead of spinning, which would cost minutes beside other work.
    "OMP_WAIT_POLICY": "PASSIVE",
}


def variables(settings: Settings) -> dict[str, str]:
    """The variables of all tools, name to value, for state in `settings.root`."""
    root = settings.root
    return QUIET | {
        "RONDO_HOME": str(root),
        "BENTOML_HOME": str(root / "bentoml"),
        "PREFECT_HOME": str(root / "prefect"),
        "DVC_SITE_CACHE_DIR": str(root / "dvc-site"),
    }


def prepare(settings: Settings) -> None:
    """Set the variables in this process, unless they are set.

    Call this before importing prefect, dvc or bentoml.
    """
    for name, value in variables(settings).items():
        os.environ.setdefault(name, value)
    folder = str(Path(sys.executable).parent)
    parts = os.environ.get("PATH", "").split(os.pathsep)
    if parts[0] != folder:
        os.environ["PATH"] = os.pathsep.join([folder, *parts])
    settings.root.mkdir(parents=True, exist_ok=True)


def expected_errors() -> tuple[type[Exception], ...]:
    """Errors that say what is wrong and what to do.

    They are shown as one line, without a stack trace.
    """
    from sqlalchemy.exc import ArgumentError, OperationalError

    from base.errors import InputError
    from base.processes import ProcessFailed
    from flows.lease import Busy
    from flows.stages import StageFailed
    from flows.workspace import WorkspaceError
    from serving.canaries import CanaryError
    from serving.channels import ChannelMoved
    from serving.fences import Fenced
    from serving.migrate import SchemaVersionError

    return (
        ArgumentError,
        OperationalError,
        InputError,
        Busy,
        ProcessFailed,
        StageFailed,
        WorkspaceError,
        CanaryError,
        ChannelMoved,
        SchemaVersionError,
        Fenced,
        LookupError,
    )


def told(error: Exception) -> str:
    """An expected error as one line."""
    from sqlalchemy.exc import ArgumentError, OperationalError

    if isinstance(error, ArgumentError):
        return f"RONDO_DATABASE_URL: {error}"
    if isinstance(error, OperationalError):  # its text is the SQL statement, over many lines
        return f"the database cannot be used: {' '.join(str(error.orig).split())}"
    return " ".join(str(error).split())


def settings() -> Settings:
    """The settings from the environment, with the environment prepared. For commands.

    Ends the process with a one-line message if the settings cannot be used.
    """
    try:
        found = Settings()
        prepare(found)
    except ValidationError as error:
        wrong = (f"RONDO_{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        sys.exit(f"rondo: {'; '.join(wrong)}")
    except OSError as error:
        sys.exit(f"rondo: RONDO_HOME cannot be used: {error}")
    return found
