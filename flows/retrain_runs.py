"""Query Prefect about runs of the retrain flow."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowFilter, FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.states import Crashed

#: A run may take this long from its worker to the lease.
STARTING: Final = timedelta(minutes=2)
#: Wait this long after a failed retrain, because its cause most likely persists.
PAUSE: Final = timedelta(hours=1)


def on_their_way() -> int:
    """The number of runs that wait for a worker or are starting.

    A reason for a retrain persists until a retrain has the lease. Without this number, every look
    of the monitor would start another run.
    """
    now = datetime.now(UTC)
    due = {"expected_start_time": {"before_": now}}  # only runs that are due, not future ones
    waiting = _runs(["SCHEDULED"], due)
    starting = _runs(["PENDING", "RUNNING"])
    return len(waiting) + sum(_since(run) > now - STARTING for run in starting)


def failed_lately() -> bool:
    """Whether the newest finished retrain failed, less than PAUSE ago.

    Killed retrains do not count.
    """
    newest = _runs(["COMPLETED", "FAILED"], limit=1, sort=FlowRunSort.END_TIME_DESC)
    return any(
        run.state_type == StateType.FAILED
        and run.end_time is not None
        and run.end_time > datetime.now(UTC) - PAUSE
        for run in newest
    )


def bury_dead() -> int:
    """Mark Running retrains as Crashed and return their number. Call this if no living process has
    the lease.

    A run younger than STARTING may be about to take the lease and is not marked.
    """
    old = datetime.now(UTC) - STARTING
    dead = [run for run in _runs(["RUNNING"]) if run.start_time and run.start_time < old]
    with get_client(sync_client=True) as client:
        for run in dead:
            state: State[Any] = Crashed(message="its process is gone")
            client.set_flow_run_state(run.id, state, force=True)
    return len(dead)


def _runs(states: list[str], more: dict[str, Any] | None = None, **options: Any) -> list[FlowRun]:
    with get_client(sync_client=True) as client:
        found: list[FlowRun] = client.read_flow_runs(
            flow_filter=FlowFilter.model_validate({"name": {"any_": ["retrain"]}}),
            flow_run_filter=FlowRunFilter.model_validate(
                {"state": {"type": {"any_": states}}, **(more or {})}
            ),
            **options,
        )
    return found


def _since(run: FlowRun) -> datetime:
    """The time since which the run is in its present state."""
    return run.state.timestamp if run.state else datetime.now(UTC)
