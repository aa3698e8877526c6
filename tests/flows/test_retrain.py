"""The retrain flow on real parts: killed anywhere and run again, it ends in the same place."""

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from features.settings import Settings
from flows import environment, ingest
from flows.processes import api_url, free_port, prefect_server, wait_for_prefect
from flows.workspace import prepare, uncommitted
from serving import channels, verdicts
from serving.database import connect
from tests.flows.killed import OVERRIDES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@dataclass(frozen=True)
class Home:
    """A state folder of its own, with the world's history in its log."""

    root: Path
    checkout: Path
    variables: dict[str, str]

    def retrain(self, steps: int) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "tests.flows.killed", str(steps)],
            env={**os.environ, **self.variables},
            cwd=self.checkout,  # `python -m` imports flows from there
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self) -> str:
        """Run to the end; the release id."""
        process = self.retrain(-1)
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, output[-3000:]
        return output.strip().splitlines()[-1].split()[1]

    def state(self) -> dict[str, object]:
        """What has to be the same however often it was killed."""
        engine = connect(f"sqlite:///{self.root / 'rondo.db'}")
        champion = channels.read(engine, "champion")
        lock = (self.root / "workspace" / "dvc.lock").read_text()
        log = (self.root / "workspace" / "data" / "log.dvc").read_text()
        records = [(r.release, r.decision) for r in verdicts.latest(engine)]
        moves = [(m.generation, m.release) for m in channels.history(engine, "champion")]
        engine.dispose()
        return {
            "champion": champion, "lock": lock, "log": log, "records": records, "moves": moves,
            "releases": sorted(path.name for path in (self.root / "releases").iterdir()),
        }  # fmt: skip

    def processes(self) -> list[psutil.Process]:
        """Those that still work in its workspace."""
        found = []
        for process in psutil.process_iter():
            try:
                if str(self.root) in process.cwd():
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Prefect server for all runs."""
    port = free_port()
    with prefect_server(tmp_path_factory.mktemp("prefect"), port) as running:
        wait_for_prefect(running, port)
        yield api_url(port)
    os.environ.pop("PREFECT_API_URL", None)


@pytest.fixture(scope="module")
def frozen_checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkout that nobody edits meanwhile: the code is part of a release."""
    folder = tmp_path_factory.mktemp("frozen") / "checkout"
    subprocess.run(["git", "clone", "-q", environment.CHECKOUT, folder], check=True)
    patch = uncommitted(environment.CHECKOUT)
    if patch:
        command = ["git", "apply", "--index", "--binary", "-"]
        subprocess.run(command, cwd=folder, input=patch, text=True, check=True)
    return folder


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory, frozen_checkout: Path) -> Path:
    """A small world's history."""
    home = tmp_path_factory.mktemp("history")
    place = prepare(home / "workspace", frozen_checkout, str(home / "remote"), OVERRIDES)
    with place.repo() as repo:
        repo.reproduce("world", single_item=True)
    return place.root / "data" / "world"


def new_home(root: Path, history: Path, checkout: Path, server: str) -> Home:
    settings = Settings(home=root)
    place = prepare(root / "workspace", checkout, settings.remote, OVERRIDES)
    engine = connect(settings.database)
    ingest.ingest_log(engine, place, history)
    engine.dispose()
    return Home(root, checkout, {**environment.variables(settings), "PREFECT_API_URL": server})


@pytest.fixture(scope="module")
def unbroken(
    tmp_path_factory: pytest.TempPathFactory, history: Path, frozen_checkout: Path, server: str
) -> tuple[str, dict[str, object]]:
    """The release and the state after a run that nobody disturbed."""
    home = new_home(tmp_path_factory.mktemp("unbroken"), history, frozen_checkout, server)
    return home.finish(), home.state()


def test_a_retrain_ends_with_one_release_and_its_verdict(
    unbroken: tuple[str, dict[str, object]],
) -> None:
    release, state = unbroken
    assert state["releases"] == [release]
    assert state["records"] == [(release, "promote")]
    assert state["moves"] == [(1, release)]


def test_killed_at_every_step_boundary_it_resumes_to_the_same_result(
    tmp_path: Path,
    history: Path,
    frozen_checkout: Path,
    server: str,
    unbroken: tuple[str, dict[str, object]],
) -> None:
    home = new_home(tmp_path, history, frozen_checkout, server)
    killed = []
    for steps in range(1, 40):
        process = home.retrain(steps)
        output, _ = process.communicate(timeout=900)
        if process.returncode == 0:
            break
        assert process.returncode == -9, output[-3000:]
        killed.append(output.strip().splitlines()[-1].removeprefix("killed after "))
        assert home.processes() == []
    assert killed[0] == "workspace"
    assert killed[-1] == "save"
    assert home.finish() == unbroken[0]
    assert home.state() == unbroken[1]


def test_killed_at_random_moments_it_leaves_no_orphan_and_resumes(
    tmp_path: Path,
    history: Path,
    frozen_checkout: Path,
    server: str,
    unbroken: tuple[str, dict[str, object]],
) -> None:
    home = new_home(tmp_path, history, frozen_checkout, server)
    seed = int(os.environ.get("RONDO_TEST_SEED", "1"))
    draw = random.Random(seed)
    for _ in range(6):
        process = home.retrain(-1)
        time.sleep(draw.uniform(4.0, 30.0))
        process.kill()
        process.communicate()
        deadline = time.monotonic() + 30  # a stage notices when its imports end
        while home.processes():
            assert time.monotonic() < deadline, home.processes()
            time.sleep(0.05)
    assert home.finish() == unbroken[0], json.dumps({"seed": seed})
    assert home.state() == unbroken[1]
