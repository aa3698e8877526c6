"""Judge a fresh release: gather evidence, ask the gate, and record the verdict.

`flows.contests` re-scores the champion on the judge window in the workspace. `training.gate.gate`
decides.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

import sqlalchemy as sa
from prefect import task
from prefect.cache_policies import NO_CACHE

from base.params import load
from base.record import RecordError
from features.items.catalogue import Catalogue
from flows import arrivals, verdict_report
from flows.contests import Contests, Window
from flows.learning_curve import Curve
from flows.point_in_time import point_in_time
from flows.release_gate import kept, release_checks
from flows.rollout import CHANNEL, Rollout
from flows.serving_parity import serving_parity
from flows.source_columns import source_columns
from flows.twin import Twin
from flows.workspace import Workspace
from serving import channels, verdicts
from serving.channels import Channel
from serving.fences import Fence
from serving.fresh_process import FreshProcess
from serving.release import Release, ReleaseError
from training.check import Check
from training.evidence import Evidence
from training.gate import Decision, Verdict, decision, gate
from training.judging import EvaluateParams
from training.thresholds import GateParams

#: From best to worst.
_ORDER: Final[tuple[Decision, ...]] = ("promote", "canary", "hold", "reject")


@dataclass(frozen=True)
class Judgement:
    """A verdict, its evidence, and the state of the channel when the champion was judged."""

    release: str
    verdict: Verdict
    evidence: Evidence
    champion: Channel | None


@task(cache_policy=NO_CACHE)
def judge(
    workspace: Workspace,
    engine: sa.Engine,
    rollout: Rollout,
    release: str,
    fence: Fence | None,
    fresh: FreshProcess | None = None,
    twin: Twin | None = None,
) -> Judgement:
    """Judge `release`, record the verdict under its id, and show it as an artifact and as HTML.

    fresh: the process that loads the release to check it; None: one is started here; twin: of the
    champion, if the recipe changed.
    """
    champion = channels.read(engine, CHANNEL)
    promoted = champion is not None and champion.release == release
    evidence = Evidence.read(workspace.root / "data" / "evaluation" / "evidence.json")
    thresholds = load(GateParams, "gate", workspace.root / "params.yaml")
    params = load(EvaluateParams, "evaluate", workspace.root / "params.yaml")
    try:
        # Already judged: the run was killed after promoting, or retrained on unchanged data.
        if promoted and (known := judged_before(engine, release)) is not None:
            return Judgement(release, *known, champion)
        shares = arrivals.shares(engine, workspace.log, thresholds.join_days)
        evidence = evidence.with_data(**shares)
        with fresh or FreshProcess() as fresh:
            evidence, checks = gather(
                workspace, engine, rollout, release, fresh, evidence, params, thresholds, twin
            )
        checks.append(serving_parity(workspace, rollout, release, thresholds))
        checks.append(source_columns(engine, workspace.log, thresholds))
        checks.append(
            point_in_time(workspace.root / "data" / "split", workspace.root / "data" / "features")
        )
        verdict = with_checks(gate(evidence, thresholds), checks)
    except RecordError as error:
        unread = Check("evidence", None, None, None, str(error))
        verdict = Verdict(decision="hold", checks=(unread,))
        if promoted:  # keep the record as the other version wrote it
            return Judgement(release, verdict, evidence, champion)
    verdicts.record(
        engine,
        release,
        verdict.decision,
        verdict.model_dump(mode="json"),
        evidence.model_dump(mode="json"),
        fence,
    )
    curve = Curve.read(workspace.root)
    verdict_report.publish(release, verdict, evidence, curve, rollout.reports)
    return Judgement(release, verdict, evidence, champion)


def judged_before(engine: sa.Engine, release: str) -> tuple[Verdict, Evidence] | None:
    """The recorded verdict and evidence of `release`, or None if it was not judged.

    Raises RecordError.
    """
    record, evidence = verdicts.read(engine, release), _evidence(engine, release)
    if record is None or record.verdict is None or evidence is None:
        return None
    return Verdict.stored(record.verdict), evidence


def gather(
    workspace: Workspace,
    engine: sa.Engine,
    rollout: Rollout,
    release: str,
    fresh: FreshProcess,
    evidence: Evidence,
    params: EvaluateParams,
    thresholds: GateParams,
    twin: Twin | None = None,
) -> tuple[Evidence, list[Check]]:
    """Add to `evidence` (from stage `evaluate`) the champion and the reference, on the same window.

    Also returns the checks of the packaged release. Raises RecordError if the evidence of one of
    these releases was written by another version of this program.
    """
    folder = rollout.fetch(release)
    with ThreadPoolExecutor(1) as beside:  # the process may still be importing
        numbers = beside.submit(fresh.measure, folder)
        window = Window.read(workspace, folder, params)
    withdrawn = channels.withdrawn(engine, CHANNEL)
    checks = release_checks(
        numbers.result(), release, withdrawn, evidence, window.challenger, thresholds
    )
    evidence = evidence.with_output(new_exposure=window.new_exposure)
    left_out = {release, *withdrawn}
    if all(move.release in left_out for move in channels.history(engine, CHANNEL)):
        return evidence.without_champion(), checks
    champion = channels.read(engine, CHANNEL)
    if champion is None or champion.release == release:
        return evidence, checks
    checks += still_shown(rollout, champion.release, window.catalogue, thresholds)
    earlier = [
        known
        for record in verdicts.latest(engine, thresholds.looks)
        if record.release not in left_out and (known := _read(record)) is not None
    ]
    contests = Contests(
        window,
        rollout,
        evidence,
        earlier,
        partial(_evidence, engine),
        partial(_by_gate, engine),
        withdrawn,
        params,
        thresholds,
        twin,
    )
    return contests.against(champion.release), checks


def still_shown(
    rollout: Rollout, champion: str, catalogue: Catalogue, thresholds: GateParams
) -> list[Check]:
    """The check that the catalogue still has the champion's items.

    None if the champion cannot be read: the gate then holds without it.
    """
    try:
        before = Release.open(rollout.fetch(champion)).catalogue()
    except ReleaseError:
        return []
    return [kept(before, catalogue, thresholds.max_gone_share)]


def with_checks(verdict: Verdict, checks: list[Check]) -> Verdict:
    """Add checks to a verdict. They can only make it worse."""
    every = (*verdict.checks, *checks)
    made = decision(every)
    worse = max(made, verdict.decision, key=_ORDER.index)
    return verdict.model_copy(update={"decision": worse, "checks": every})


def _evidence(engine: sa.Engine, release: str) -> Evidence | None:
    """The evidence on which a release was promoted, or None if none was recorded.

    Raises RecordError.
    """
    record = verdicts.read(engine, release)
    return None if record is None else _read(record)


def _by_gate(engine: sa.Engine, release: str) -> bool:
    """Whether the gate itself promoted `release`."""
    record = verdicts.read(engine, release)
    return record is not None and record.decision == "promote"


def _read(record: verdicts.ReleaseRecord) -> Evidence | None:
    if record.evidence is None:
        return None
    try:
        return Evidence.stored(record.evidence)
    except RecordError as error:
        raise RecordError(f"release {record.release[:12]}: its {error}") from None
