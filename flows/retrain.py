"""The retrain flow: ingest new feedback, make and judge a release, promote it if the gate allows.

    rondo retrain                                        # once, here
    prefect deployment run 'retrain/feedback'            # by a worker

If it is killed at any point, run it again: every step finds what is done and does the rest.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prefect import flow
from prefect.logging import get_run_logger

from base.params import load
from base.settings import Settings
from flows import (
    arrivals,
    canary,
    environment,
    foreseen_failures,
    gating,
    ingest,
    stages,
    twin,
    warm_stages,
)
from flows.consumers import EVENTS, RETRAINED
from flows.lease import Busy, lease, wall_clock
from flows.retrain_params import RetrainParams
from flows.rollout import Rollout, experiment, installation
from serving import fences, offsets, set_aside
from serving.canaries import Canary, CanaryError
from serving.fences import Fence
from serving.fresh_process import FreshProcess


@dataclass
class RetrainOutcome:
    """The result of a retrain.

    canary: what was started for the verdict `canary`; seconds: by step; stages: seconds by pipeline
    stage, of which several may have run at once.
    """

    release: str = ""
    decision: str = ""
    reasons: tuple[str, ...] = ()
    judgement: gating.Judgement | None = None
    ingested: ingest.Ingested | None = None
    canary: Canary | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)


@flow(name="retrain", validate_parameters=False)
def retrain(
    reason: str = "by hand", overrides: Mapping[str, Any] | None = None, now: int | None = None
) -> RetrainOutcome:
    """Retrain once, and once more if another run was requested meanwhile.

    reason: for the log; overrides: dotted keys of params.yaml; now: µs, by default the real clock
    (simulations have their own). If a retrain is running already, it will run once more, and this
    call returns an empty outcome.
    """
    environment.prepare(Settings())
    foreseen_failures.tell_briefly()
    rollout = installation()
    get_run_logger().info("retrain: %s", reason)
    while True:
        try:
            with lease(rollout.engine, "retrain") as held, rollout.at_workspace():
                outcome = run_once(rollout, held.fence, overrides or {}, now or wall_clock())
        except Busy as busy:
            get_run_logger().info("%s", busy)
            return RetrainOutcome(decision="busy")
        if not held.again:
            return outcome


def run_once(
    rollout: Rollout, fence: Fence, overrides: Mapping[str, Any], now: int
) -> RetrainOutcome:
    """Do the steps in order.

    Each one can be repeated. The fence stops a run that has lost its lease.
    """
    settings, engine, outcome = rollout.settings, rollout.engine, RetrainOutcome()
    clock = StepClock(outcome.seconds)
    place = rollout.workspace(overrides)
    params = load(RetrainParams, "retrain", place.root / "params.yaml")
    clock.lap("workspace")
    logs = settings.root / "logs"
    try:
        canary.check(engine, now)  # it may become the champion that is judged against
    except CanaryError as error:  # the next look counts again; the retrain goes on
        get_run_logger().warning("no look at the canary: %s", error)
    outcome.ingested = ingest.ingest_feedback(engine, place, fence)
    arrivals.require_events(engine, place.log)
    clock.lap("ingest")
    with FreshProcess() as fresh:
        with warm_stages.warmed(place, logs) as warm:
            # After the longest stage no more than one processor is busy until the gate.
            ahead = {stages.LONGEST_STAGE: fresh.start}
            outcome.stages = stages.run_stages(place, logs, warm, after=ahead)
            set_aside.replace(engine, set_aside.found(place.root / "data" / "split"), fence)
            clock.lap("stages")
            beside = twin.fit(place, engine, rollout, logs, warm)
        if beside is not None:
            outcome.stages |= {f"twin {name}": took for name, took in beside.seconds.items()}
            clock.lap("twin")
        outcome.release = rollout.publish(place, now, fence)
        clock.lap("publish")
        place.save_experiment(experiment(outcome.release))
        clock.lap("save")
        judgement = gating.judge(place, engine, rollout, outcome.release, fence, fresh, beside)
    outcome.judgement = judgement
    outcome.decision, outcome.reasons = judgement.verdict.decision, judgement.verdict.reasons
    clock.lap("gate")
    promoted = outcome.decision == "promote"
    if promoted:
        rollout.promote(outcome.release, judgement.champion, now, fence)
    elif outcome.decision == "canary":
        outcome.canary = canary.propose(rollout, outcome.release, judgement.champion, now, fence)
    clock.lap("promote")
    fences.confirm(engine, fence)
    if promoted or rollout.same_features(outcome.release, judgement.champion):
        rollout.materialise(place, now)
    clock.lap("materialise")
    fences.confirm(engine, fence)
    rollout.retain(place, params)
    learned = arrivals.learned(engine, judgement.verdict.passed(arrivals.COMPARING))
    offsets.advance(engine, {RETRAINED: offsets.read(engine, EVENTS), **learned}, fence)
    clock.lap("retain")
    return outcome


class StepClock:
    """Measures the seconds since the last lap and adds them up by step."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.last = time.monotonic()

    def lap(self, step: str) -> None:
        now = time.monotonic()
        self.seconds[step] = self.seconds.get(step, 0.0) + now - self.last
        self.last = now
