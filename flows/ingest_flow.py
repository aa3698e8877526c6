"""The ingest flow: add feedback to the versioned log between retrains.

prefect deployment run 'ingest/every-quarter'
"""

from prefect import flow
from prefect.logging import get_run_logger

from base.settings import Settings
from flows import environment
from flows.ingest import Ingested, ingest_feedback
from flows.lease import Busy, lease
from flows.retrain import retrain
from flows.rollout import installation


@flow(name="ingest")
def ingest() -> Ingested | None:
    """Ingest once. Returns None if a retrain is running, since a retrain ingests by itself."""
    environment.prepare(Settings())
    rollout = installation()
    try:
        with lease(rollout.engine, "retrain", ask_again=False) as held, rollout.at_workspace():
            found = ingest_feedback(rollout.engine, rollout.workspace({}), held.fence)
    except Busy as busy:
        get_run_logger().info("%s", busy)
        return None
    if held.again:
        retrain("asked for while feedback was ingested")
    return found
