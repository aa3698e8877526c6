"""Retrains that succeed through a real Prefect server and worker: by schedule, by enough feedback,
by hand.

They use only PostgreSQL and S3 as stores, and the promoted releases are served from there.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from base.params_file import edit
from base.processes import api_url, free_port
from base.settings import Settings
from flows import environment, ingest, monitor
from flows.retrain_params import RetrainParams
from flows.workspace import prepare
from serving import catalogue_feed, channels, release, verdicts
from serving.database import connect
from serving.feedback_log import FeedbackLog
from tests.flows.killed import OVERRIDES
from tests.flows.test_retrain import (
    FIRST_DAYS,
    days_of,
    frozen_checkout,
    history,
    rows,
    world,
)
from tests.s3 import S3
from tests.serving.conftest import empty_database
from tests.serving.running import from_checkout, serving

__all__ = ["frozen_checkout", "history", "world"]  # fixtures: a checkout, a small world, its start

pytestmark = [pytest.mark.slow, pytest.mark.servers, pytest.mark.timeout(1200)]

FEEDBACK = 200

#: `wait(DEPLOYMENT)`: the first run of it that is not known, to its end; `quiet()`: until all have
#: ended.
PROLOGUE = """
import json, sys, time
from datetime import datetime, timedelta, timezone
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.deployments import run_deployment
client = get_client(sync_client=True)
client.__enter__()
def runs(name):
    wanted = client.read_deployment_by_name(name)
    only = DeploymentFilter.model_validate({"id": {"any_": [str(wanted.id)]}})
    found = client.read_flow_runs(deployment_filter=only)
    return [run for run in found if run.state and run.state.type.value != "SCHEDULED"]
def wait(name, known=(), seconds=600):
    deadline = time.monotonic() + seconds
    while True:
        new = [run for run in runs(name) if str(run.id) not in known]
        done = [run for run in new if run.state.is_final()]
        if done:
            break
        assert time.monotonic() < deadline, f"{name}: {[run.state for run in new]}"
        time.sleep(0.5)
    print(json.dumps([done[-1].state.type.value, done[-1].state.message,
                      done[-1].created_by.type if done[-1].created_by else None]))
def known(name):
    return [str(run.id) for run in runs(name)]
def quiet(seconds=600):
    deadline, since = time.monotonic() + seconds, time.monotonic()
    while time.monotonic() - since < 5:
        every = runs("retrain/scheduled") + runs("retrain/feedback")
        if not all(run.state.is_final() for run in every):
            since = time.monotonic()
        assert time.monotonic() < deadline, [run.state for run in every]
        time.sleep(0.5)
"""

SOON = """
scheduled = client.read_deployment_by_name("retrain/scheduled")
soon = IntervalSchedule(
    interval=timedelta(days=1), anchor_date=datetime.now(timezone.utc) + timedelta(seconds=20)
)
client.create_deployment_schedules(scheduled.id, [(soon, True)])
wait("retrain/scheduled")
"""

# The monitor's own schedule may have seen the history and started a retrain of it as well; from
# here on it looks only when it is asked to.
SETTLED = """
client.pause_deployment(client.read_deployment_by_name("monitor/every-minute").id)
quiet()
print(json.dumps(known("retrain/feedback")))
"""

LOOK = """
run_deployment("monitor/every-minute", timeout=0)
wait("retrain/feedback", {known})
"""


@dataclass
class Deployed:
    """`make deploy` in a checkout, with a home that holds no database and no release."""

    root: Path
    checkout: Path
    variables: dict[str, str]

    @cached_property
    def engine(self) -> sa.Engine:
        return connect(self.variables["RONDO_DATABASE_URL"])

    @property
    def releases(self) -> list[str]:
        return sorted(release.stored(self.variables["RONDO_RELEASES_URL"]))

    def run(self, *command: str) -> str:
        """What a command prints, in the environment that `make` writes for people."""
        done = subprocess.run(
            command,
            env={**os.environ, **self.variables},
            cwd=self.checkout,
            capture_output=True,
            text=True,
            timeout=700,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{self.worker_log()}"
        return done.stdout

    def ask(self, code: str) -> list[Any]:
        """What some code prints last; of `wait`: a run's state, its message, who created it."""
        printed = self.run(sys.executable, "-c", PROLOGUE + code)
        found: list[Any] = json.loads(printed.strip().splitlines()[-1])
        return found

    def worker_log(self) -> str:
        path = self.root / "logs" / "worker.log"
        return path.read_text()[-5000:] if path.exists() else ""


@pytest.fixture(scope="module")
def deployed(
    tmp_path_factory: pytest.TempPathFactory,
    frozen_checkout: Path,
    history: Path,
    s3_process: S3,
) -> Iterator[Deployed]:
    """With the world's first days in its log."""
    root = tmp_path_factory.mktemp("deployed") / "home"
    edit(frozen_checkout / "params.yaml", OVERRIDES | {"retrain.feedback": FEEDBACK})
    bucket = s3_process.bucket("deployed")
    with empty_database("RONDO_TEST_POSTGRES_URL") as database, pytest.MonkeyPatch.context() as p:
        variables = {
            **environment.variables(Settings(home=root)),
            **s3_process.variables,
            "RONDO_DATABASE_URL": database,
            "RONDO_RELEASES_URL": f"{bucket}/releases",
            "RONDO_REMOTE_URL": f"{bucket}/dvc",
            "PREFECT_API_URL": api_url(free_port()),
            # How often the server looks what is due: a minute, if nobody says otherwise.
            "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        }
        for name, value in s3_process.variables.items():
            p.setenv(name, value)
        home = Deployed(root, frozen_checkout, variables)
        place = prepare(root / "workspace", frozen_checkout, f"{bucket}/dvc")
        ingest.ingest_log(home.engine, place, history)
        output = root / "deploy.log"
        with output.open("w") as printed:
            process = subprocess.Popen(
                [sys.executable, "-u", "-m", "flows.deploy"],
                cwd=frozen_checkout,
                env={**os.environ, **variables},
                stdout=printed,
                stderr=subprocess.STDOUT,
            )
        try:
            deadline = time.monotonic() + 180
            while "Ctrl-C stops both" not in output.read_text():
                assert process.poll() is None, output.read_text()
                assert time.monotonic() < deadline, output.read_text()
                time.sleep(0.2)
            yield home
        finally:
            process.terminate()
            process.wait(60)
            home.engine.dispose()


@pytest.fixture(scope="module")
def first(deployed: Deployed) -> str:
    """The release of a retrain that the schedule started."""
    state, message, by = deployed.ask(SOON)
    assert (state, by) == ("COMPLETED", "SCHEDULE"), f"{message}\n{deployed.worker_log()}"
    champion = channels.read(deployed.engine, "champion")
    assert champion is not None
    return champion.release


def test_the_schedule_makes_a_champion_that_lies_in_s3(deployed: Deployed, first: str) -> None:
    assert deployed.releases == [first]
    found = verdicts.read(deployed.engine, first)
    assert found is not None
    assert found.decision == "promote"
    files = {path.name for path in deployed.root.rglob("*.db") if "dvc" not in str(path)}
    assert files <= {"online.db", "registry.db", "prefect.db"}


def test_enough_feedback_starts_a_retrain_that_succeeds(
    deployed: Deployed, first: str, world: Path
) -> None:
    catalogue_feed.upsert(deployed.engine, rows(days_of(world, "items")[FIRST_DAYS:]))
    events = rows(days_of(world, "events")[FIRST_DAYS:])
    assert len(events) > FEEDBACK
    known = deployed.ask(SETTLED)
    FeedbackLog(deployed.engine).append(events=events)
    state, message, by = deployed.ask(LOOK.format(known=known))
    assert (state, by) == ("COMPLETED", "AUTOMATION"), f"{message}\n{deployed.worker_log()}"
    assert len(deployed.releases) == 2
    newest = verdicts.latest(deployed.engine)[0]
    assert newest.release != first
    assert newest.decision == "promote", newest.verdict
    assert monitor.look(deployed.engine, RetrainParams()).new_events < FEEDBACK


def test_the_readmes_command_starts_a_retrain_that_succeeds(deployed: Deployed, first: str) -> None:
    """On unchanged data it makes the same release again, which is not judged again."""
    before = deployed.releases
    assert first in before
    known = deployed.ask('print(json.dumps(known("retrain/scheduled")))')
    readme = (environment.CHECKOUT / "README.md").read_text()
    command = "prefect deployment run 'retrain/scheduled'"
    assert command in readme
    deployed.run("bash", "-c", command)
    state, message, _ = deployed.ask(f'wait("retrain/scheduled", {known})')
    assert state == "COMPLETED", f"{message}\n{deployed.worker_log()}"
    assert deployed.releases == before
    assert len(verdicts.latest(deployed.engine)) == len(before)


@pytest.mark.usefixtures("first")
def test_a_service_with_an_empty_home_serves_the_champion_from_s3(
    deployed: Deployed, tmp_path: Path
) -> None:
    champion = channels.read(deployed.engine, "champion")
    assert champion is not None
    settings = {
        name: value
        for name, value in deployed.variables.items()
        if name.startswith(("AWS_", "RONDO_")) and name != "RONDO_HOME"
    }
    with serving(from_checkout(), deployed.checkout, tmp_path / "other", settings) as client:
        deadline = time.monotonic() + 60
        while True:
            answer = client.post("/recommend", json={"user_id": "u00001", "k": 5}).json()
            if answer["release"] == champion.release or time.monotonic() > deadline:
                break
            time.sleep(0.5)
        assert (answer["release"], answer["source"]) == (champion.release, "trees")
        assert len(answer["items"]) == 5
