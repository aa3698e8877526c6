"""A deployment through a real server and worker."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.settings import Settings
from flows import environment
from flows.deploy import deployed
from flows.processes import free_port, prefect_server, wait_for_prefect
from serving.database import connect
from serving.log import FeedbackLog

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A server and a worker with all deployments, in a home of its own."""
    for name, value in environment.variables(Settings(home=tmp_path)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    port = free_port()
    with prefect_server(tmp_path, port) as server:
        wait_for_prefect(server, port)
        with deployed(tmp_path):
            yield tmp_path
    os.environ.pop("PREFECT_API_URL", None)


CODE = """
import sys, time
from prefect.client.orchestration import get_client
from prefect.deployments import run_deployment
with get_client(sync_client=True) as client:
    names = sorted(d.name for d in client.read_deployments())
    scheduled = client.read_deployment_by_name("retrain/scheduled")
    triggers = client.read_deployment_by_name("retrain/feedback")
print(names, [str(s.schedule.cron) for s in scheduled.schedules])
run = run_deployment("ingest/every-quarter", timeout=240, poll_interval=1)
print(run.state.type.value, run.state.message or "")
"""


def test_a_deployment_ingests_feedback_through_a_real_worker(home: Path) -> None:
    import subprocess
    import sys

    engine = connect(f"sqlite:///{home / 'rondo.db'}")
    now = time.time_ns() // 1000
    event = {
        "event_id": "e1", "user_id": "u1", "item_id": "i1", "event_type": "view",
        "timestamp": now, "received_at": now,
    }  # fmt: skip
    FeedbackLog(engine).append(events=[event])
    result = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
    first, second = result.stdout.strip().splitlines()[-2:]
    assert first == ("['every-minute', 'every-quarter', 'feedback', 'scheduled'] ['0 3 * * *']")
    worker = (home / "logs" / "worker.log").read_text()
    assert second.startswith("COMPLETED"), worker[-3000:]
    assert list((home / "workspace" / "data" / "log" / "events").glob("dt=*/part-*.parquet"))
    engine.dispose()
