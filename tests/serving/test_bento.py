"""A Bento serves its release in an environment with nothing else installed."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving import channels, release
from serving.bento import requirements
from serving.database import connect
from tests.s3 import S3
from tests.serving.running import addresses, kill_supervisor, serving, wait_until_free
from tests.serving.small import NOW, make_release


def run(command: list[str], **environment: str) -> str:
    result = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_a_bento_needs_nothing_that_trains_or_orchestrates(checkout: Path) -> None:
    names = {line.split("==")[0] for line in requirements(checkout)}
    assert {
        "bentoml",
        "torch",
        "lightgbm",
        "feast",
        "sqlalchemy",
        "psycopg",
        "pymysql",
        "s3fs",
    } <= names
    assert not {"prefect", "dvc", "lightning", "matplotlib", "pytest"} & names
    pinned = (checkout / "constraints.txt").read_text().lower().splitlines()
    torch = next(line for line in requirements(checkout) if line.startswith("torch=="))
    assert torch in pinned


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_bento_serves_from_a_clean_environment_and_follows_its_channel_to_s3(
    checkout: Path, tmp_path: Path, s3: S3
) -> None:
    """It first serves its bundled release, which was the champion when it was built.

    Then it fetches another one that is only in S3, as its local cache is empty.
    """
    releases = s3.bucket("followed") + "/releases"
    make_release(tmp_path / "first")
    second = make_release(tmp_path / "second", seed=2)
    first = release.publish(tmp_path / "first", releases)
    shutil.rmtree(tmp_path / "first")
    builder = {
        "BENTOML_HOME": str(tmp_path / "bentoml"),
        "RONDO_HOME": str(tmp_path / "builder"),
        "RONDO_RELEASES_URL": releases,
    }
    engine = connect(f"sqlite:///{tmp_path / 'builder' / 'rondo.db'}")
    channels.move(engine, "champion", first, 0, None, now=NOW)
    engine.dispose()
    command = [sys.executable, "-m", "serving.bento"]
    assert "built rondo:" in run(["env", "-C", str(checkout), *command], **builder)
    (bento,) = (path for path in (tmp_path / "bentoml/bentos/rondo").iterdir() if path.is_dir())

    python = tmp_path / "venv/bin/python"
    run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")])
    wanted = bento / "env/python/requirements.txt"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "-r"]
    run([*install, str(wanted), "--disable-pip-version-check"])

    home, empty = tmp_path / "home", tmp_path / "empty"
    empty.mkdir()
    serve = [str(python), "-m", "bentoml", "serve", str(bento)]
    settings = {
        "RONDO_CLOCK": "request",
        "RONDO_RELEASES_URL": releases,
        "PYTHONPATH": "",
        "VIRTUAL_ENV": "",
    }
    headers = {"x-rondo-time": str(NOW)}
    with serving(serve, empty, home, settings, seconds=180) as client:
        assert addresses(client.base_url.port or 0) == {"127.0.0.1"}
        answer = client.post("/recommend", json={"user_id": "u"}, headers=headers).json()
        assert (answer["release"], answer["source"]) == (first, "trees")
        release.publish(tmp_path / "second", releases)
        engine = connect(f"sqlite:///{home / 'rondo.db'}")
        channels.move(engine, "champion", second, 0, None, now=NOW)
        engine.dispose()
        deadline = time.monotonic() + 30
        while answer["release"] != second:
            assert time.monotonic() < deadline
            time.sleep(0.2)
            answer = client.post("/recommend", json={"user_id": "u"}, headers=headers).json()
        assert answer["generation"] == 1
        kill_supervisor(client)
        wait_until_free(client.base_url.port or 0)
    assert [path.name for path in (home / "cache" / "releases").iterdir()] == [second]
