"""Every test uses temporary state folders, which are set before any import."""

import os
import sys
import tempfile
from pathlib import Path

_STATE = Path(tempfile.mkdtemp(prefix="rondo-tests-"))
_CHECKOUT = Path(__file__).resolve().parent.parent

os.environ.update(
    RONDO_HOME=str(_STATE / "home"),
    BENTOML_HOME=str(_STATE / "bentoml"),
    PREFECT_HOME=str(_STATE / "prefect"),
    DVC_SITE_CACHE_DIR=str(_STATE / "dvc-site"),
    DVC_GLOBAL_CONFIG_DIR=str(_STATE / "dvc-global"),
    GIT_CONFIG_GLOBAL=str(_STATE / "gitconfig"),
    GIT_CONFIG_NOSYSTEM="1",
    DO_NOT_TRACK="1",
    DVC_NO_ANALYTICS="1",
    BENTOML_DO_NOT_TRACK="True",
    PREFECT_SERVER_ANALYTICS_ENABLED="false",
    OTEL_SDK_DISABLED="true",
    # numpy's products alone: with more threads the number of rows decides how sums are split.
    OPENBLAS_NUM_THREADS="1",
    PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
)
os.environ.pop("PREFECT_API_URL", None)
(_STATE / "gitconfig").write_text(
    "[user]\n\tname = Rondo tests\n\temail = tests@rondo.invalid\n"
    "[init]\n\tdefaultBranch = main\n[safe]\n\tdirectory = *\n"
)

#: MLflow and Weights & Biases, which want other versions of what Rondo pins: ours come first.
sys.path.append(str(_CHECKOUT / ".rondo" / "loggers"))

import shutil  # noqa: E402
from collections.abc import Iterator  # noqa: E402
from typing import TYPE_CHECKING  # noqa: E402

# Its log goes to the standard error of its first import: of the session, not of a test's capture.
import dvc  # noqa: E402, F401
import pytest  # noqa: E402

pytest_plugins = ["tests.skips"]

if TYPE_CHECKING:
    from tests.s3 import S3


@pytest.fixture(scope="session", autouse=True)
def _remove_state() -> Iterator[None]:
    yield
    shutil.rmtree(_STATE, ignore_errors=True)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The repository root."""
    return _CHECKOUT


@pytest.fixture(scope="session")
def s3_process() -> "Iterator[S3]":
    """One S3 server for all tests of this process. Each test has its own buckets."""
    from tests.s3 import s3_server

    with s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_process: "S3", monkeypatch: pytest.MonkeyPatch) -> "S3":
    """A real S3 server, which this process uses by its environment variables."""
    import s3fs

    for name, value in s3_process.variables.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    return s3_process


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real datasets beside the repository. `RONDO_TEST_DATA` names another one."""
    folder = Path(os.environ.get("RONDO_TEST_DATA", _CHECKOUT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"this machine has no real datasets at {folder}")
    return folder
