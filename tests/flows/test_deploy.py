"""Deployments through a real server and worker, and the event that starts a retrain."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.params import load
from base.processes import free_port, prefect_server, wait_for_prefect
from base.settings import Settings
from flows import environment
from flows.deploy import deployed
from flows.lease import Busy, lease
from flows.retrain_params import RetrainParams
from serving import channels
from serving.database import connect
from serving.feedback_log import FeedbackLog

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A server and a worker with all deployments, in a home of its own."""
    root = tmp_path_factory.mktemp("deployed")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.variables(Settings(home=root)).items():
            patch.setenv(name, value)
        patch.delenv("PREFECT_API_URL", raising=False)
        port = free_port()
        with prefect_server(root, port) as server:
            wait_for_prefect(server, port)
            with deployed(root):
                yield root
        os.environ.pop("PREFECT_API_URL", None)


PROLOGUE = """
import json, time
from datetime import datetime, timezone
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import DeploymentFilter, FlowFilter, FlowRunFilter
from prefect.deployments import run_deployment
from prefect.states import Cancelled
client = get_client(sync_client=True)
client.__enter__()
def start(name):
    return run_deployment(name, timeout=0)
def ended(run, seconds=240):
    deadline = time.monotonic() + seconds
    while not run.state or not run.state.is_final():
        assert time.monotonic() < deadline, f"{run.name} is {run.state}"
        time.sleep(0.5)
        run = client.read_flow_run(run.id)
    return run
def alone(seconds=240):
    # From here on the monitor looks only when it is asked to, and no retrain runs.
    client.pause_deployment(client.read_deployment_by_name("monitor/every-minute").id)
    flows = FlowFilter.model_validate({"name": {"any_": ["monitor", "retrain"]}})
    deadline, quiet = time.monotonic() + seconds, 0
    while quiet < 5:
        due = FlowRunFilter.model_validate({
            "state": {"type": {"any_": ["SCHEDULED", "PENDING", "RUNNING"]}},
            "expected_start_time": {"before_": datetime.now(timezone.utc)},
        })
        going = client.read_flow_runs(flow_filter=flows, flow_run_filter=due)
        quiet = 0 if going else quiet + 1
        assert time.monotonic() < deadline, [(run.name, run.state) for run in going]
        time.sleep(1)
"""

#: What is deployed, and whether the server schedules it; an ingest and a look of the monitor.
DEPLOYED = """
scheduled = client.read_deployment_by_name("retrain/scheduled")
only = DeploymentFilter.model_validate({"id": {"any_": [str(scheduled.id)]}})
deadline = time.monotonic() + 90
while not (nights := client.read_flow_runs(deployment_filter=only)):
    assert time.monotonic() < deadline, "the server has scheduled no run of retrain/scheduled"
    time.sleep(0.5)
runs = [start(name) for name in ("ingest/every-quarter", "monitor/every-minute")]
print(json.dumps({
    "names": sorted(d.name for d in client.read_deployments()),
    "crons": [s.schedule.cron for s in scheduled.schedules],
    "hours": sorted({run.expected_start_time.hour for run in nights}),
    "runs": [ended(run).state.type.value for run in runs],
}))
"""

#: Two looks of the monitor, the other at once; then the run of `retrain/feedback`, which nobody
#: here asks for, to its end, and another look.
MONITORED = """
look = ended(start("monitor/every-minute"))
wanted = client.read_deployment_by_name("retrain/feedback")
only = DeploymentFilter.model_validate({"id": {"any_": [str(wanted.id)]}})
deadline = time.monotonic() + 60
while not (runs := client.read_flow_runs(deployment_filter=only)):
    assert time.monotonic() < deadline, f"the monitor {look.state}, and no retrain was started"
    time.sleep(0.5)
run = runs[0]
ended(start("monitor/every-minute"))
run = ended(run)
ended(start("monitor/every-minute"))
time.sleep(5)
seen = client.request("POST", "/events/filter", json={"filter": {"event": {"prefix": ["rondo."]}}})
print(json.dumps({
    "by": [run.created_by.type, run.created_by.display_value] if run.created_by else None,
    "parameters": run.parameters,
    "state": run.state.type.value,
    "message": run.state.message,
    "runs": len(client.read_flow_runs(deployment_filter=only)),
    "events": [[event["event"], event["payload"]["value"]] for event in seen.json()["events"]],
}))
"""

#: Runs of `retrain/feedback` so far.
RUNS = """
wanted = client.read_deployment_by_name("retrain/feedback")
only = DeploymentFilter.model_validate({"id": {"any_": [str(wanted.id)]}})
known = [str(run.id) for run in client.read_flow_runs(deployment_filter=only)]
print(json.dumps({"known": known}))
"""

#: A look of the monitor; then the run that it led to, cancelled.
ASKED = """
wanted = client.read_deployment_by_name("retrain/feedback")
only = DeploymentFilter.model_validate({"id": {"any_": [str(wanted.id)]}})
def new():
    return [r for r in client.read_flow_runs(deployment_filter=only) if str(r.id) not in known]
ended(start("monitor/every-minute"))
deadline = time.monotonic() + 60
while not (runs := new()):
    assert time.monotonic() < deadline, "no retrain was started"
    time.sleep(0.2)
for run in runs:
    client.set_flow_run_state(run.id, Cancelled(), force=True)
print(json.dumps({"by": [run.created_by.display_value for run in runs]}))
"""


def ask(code: str) -> dict[str, Any]:
    """What a fresh process prints: prefect reads its settings when it is imported."""
    result = subprocess.run(
        [sys.executable, "-c", PROLOGUE + code], capture_output=True, text=True, timeout=400
    )
    assert result.returncode == 0, result.stderr
    answer: dict[str, Any] = json.loads(result.stdout.strip().splitlines()[-1])
    return answer


def feedback(home: Path, first: int, count: int) -> None:
    """Views of one item that arrived just now."""
    engine = connect(Settings(home=home).database)
    now = time.time_ns() // 1000
    events = [
        {
            "event_id": f"e{number}", "user_id": f"u{number % 7}", "item_id": "i1",
            "event_type": "view", "timestamp": now, "received_at": now,
        }
        for number in range(first, first + count)
    ]  # fmt: skip
    FeedbackLog(engine).append(events=events)
    engine.dispose()


def worker_log(home: Path) -> str:
    return (home / "logs" / "worker.log").read_text()[-3000:]


def test_deployments_run_through_a_real_worker(home: Path) -> None:
    feedback(home, 0, 1)
    assert ask(DEPLOYED) == {
        "names": ["every-minute", "every-quarter", "feedback", "scheduled"],
        "crons": ["0 3 * * *"],
        "hours": [3],
        "runs": ["COMPLETED", "COMPLETED"],
    }, worker_log(home)
    assert list((home / "workspace" / "data" / "log" / "events").glob("dt=*/part-*.parquet"))


def test_enough_feedback_makes_the_server_start_a_retrain(home: Path, checkout: Path) -> None:
    """By the event of the monitor and the trigger of prefect.yaml. The feedback is of one minute,
    which no stage can split in time: the run fails, nothing is promoted, and there is no other run,
    neither while this one starts nor a minute later."""
    limit = load(RetrainParams, "retrain", checkout / "params.yaml").feedback
    ask("alone(); print('{}')")
    feedback(home, 1, limit)
    told = ask(MONITORED)
    assert told["by"] == ["AUTOMATION", "feedback__automation_1"], told
    assert told["parameters"] == {"reason": "feedback"}
    ((name, value),) = told["events"]
    assert name == "rondo.feedback"
    assert value >= limit  # one event called for nothing
    assert told["state"] == "FAILED", worker_log(home)
    assert "split" in told["message"]
    assert told["runs"] == 1
    engine = connect(Settings(home=home).database)
    assert channels.read(engine, "champion") is None
    engine.dispose()


def test_a_run_that_was_asked_for_of_one_that_failed_is_started(home: Path) -> None:
    """Also soon after the failure: whoever asked was told that it would be done."""
    engine = connect(Settings(home=home).database)

    def fail() -> None:
        with lease(engine, "retrain"):
            with pytest.raises(Busy), lease(engine, "retrain"):
                pass
            raise RuntimeError("training failed")

    known = ask("alone()\n" + RUNS)["known"]
    with pytest.raises(RuntimeError, match="training failed"):
        fail()
    engine.dispose()
    assert ask(f"known = {known}\n" + ASKED)["by"] == ["feedback__automation_1"], worker_log(home)
