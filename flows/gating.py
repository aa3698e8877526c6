"""Judge a fresh release: gather evidence, ask the gate, and record the verdict.

Re-scores the champion and past releases on the judge window in the workspace. `training.gate.gate`
decides.
"""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from prefect import task
from prefect.cache_policies import NO_CACHE

from base.arrays import Bools
from base.params import load
from base.record import RecordError
from features.items.catalogue import Catalogue
from features.requests.requests import Queries
from features.requests.training_set import load_catalogue, load_queries
from flows import arrivals, verdict_report
from flows.learning_curve import Curve
from flows.release_gate import release_checks
from flows.rollout import CHANNEL, Rollout
from flows.serving_parity import serving_parity
from flows.workspace import Workspace
from serving import channels, verdicts
from serving.channels import Channel
from serving.fences import Fence
from serving.fresh_process import FreshProcess
from training.comparing import compare, compare_past, outside, share_of
from training.evidence import Evidence
from training.gate import Check, Decision, Verdict, gate
from training.judging import EvaluateParams, Judged, judge_scores
from training.recommender import Recommender
from training.slices import slices
from training.thresholds import GateParams

logger = logging.getLogger("rondo.gating")

#: Past releases that rank the window at the same time. The memory of each is bounded.
_RESCORED_AT_ONCE: Final = 2


@dataclass(frozen=True)
class Judgement:
    """A verdict, its evidence, and the state of the channel when the champion was judged."""

    release: str
    verdict: Verdict
    evidence: Evidence
    champion: Channel | None


@dataclass(frozen=True)
class Window:
    """The challenger's judge window: queries over a catalogue that every release must fit."""

    queries: Queries
    catalogue: Catalogue
    new_items: Bools
    k: int

    def judged(self, release: Path) -> Judged:
        """Judge a release on this window. Raises ReleaseError if it does not fit the catalogue."""
        return self.judge(Recommender.load(release, self.catalogue))

    def judge(self, recommender: Recommender) -> Judged:
        ranked = recommender.rank(self.queries.requests, threads=2)
        return judge_scores(self.queries, ranked.scores, self.k, ranked.candidates)


@task(cache_policy=NO_CACHE)
def judge(
    workspace: Workspace,
    engine: sa.Engine,
    rollout: Rollout,
    release: str,
    fence: Fence | None,
    fresh: FreshProcess | None = None,
) -> Judgement:
    """Judge `release`, record the verdict under its id, and show it as an artifact and as HTML.

    fresh: the process that loads the release to check it; None: one is started here.
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
                workspace, engine, rollout, release, fresh, evidence, params, thresholds
            )
        checks.append(serving_parity(workspace, rollout, release, thresholds))
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
) -> tuple[Evidence, list[Check]]:
    """Add to `evidence` (from stage `evaluate`) the champion and past releases on the same window.

    Also returns the checks of the packaged release. Raises RecordError if the evidence of one of
    these releases was written by another version of this program.
    """
    data, folder = workspace.root / "data", rollout.fetch(release)
    with ThreadPoolExecutor(1) as beside:  # the process may still be importing
        numbers = beside.submit(fresh.measure, folder)
        catalogue = load_catalogue(data / "split")
        queries = load_queries(data / "split", data / "features", "judge", "organic")
        challenger = Recommender.load(folder, catalogue)
        window = Window(queries, catalogue, challenger.new_items, params.k)
        judged = window.judge(challenger)
    withdrawn = channels.withdrawn(engine, CHANNEL)
    checks = release_checks(numbers.result(), release, withdrawn, evidence, judged, thresholds)
    left_out = {release, *withdrawn}
    past = promoted_before(engine, left_out, thresholds.past_releases)
    if not past:
        return evidence.without_champion(), checks
    own = {name: _evidence(engine, name) for name in past}
    readable = [name for name, known in own.items() if known is not None]
    with ThreadPoolExecutor(_RESCORED_AT_ONCE) as pool:
        judgements = pool.map(lambda name: _rescored(window, rollout, name), readable)
        scored = dict.fromkeys(own) | dict(zip(readable, judgements, strict=True))
    fair = outside(
        queries.requests.timestamps, [known.windows for known in own.values() if known is not None]
    )
    champion = channels.read(engine, CHANNEL)
    if champion is not None and champion.release != release:
        earlier = [
            known
            for record in verdicts.latest(engine, thresholds.past_releases)
            if record.release not in left_out
            and (record.evidence or {}).get("fingerprint") == evidence.fingerprint
            and (known := _read(record)) is not None
        ]
        evidence = _with_champion(
            evidence,
            window,
            judged,
            scored,
            fair,
            champion,
            own.get(champion.release),
            earlier,
            params,
        )
    return compare_past(evidence, judged, scored, fair, params.seed, params.confidence), checks


def promoted_before(engine: sa.Engine, left_out: set[str], most: int) -> list[str]:
    """Former champions, newest first, at most `most`, without `left_out`."""
    moves = channels.history(engine, CHANNEL)
    distinct = dict.fromkeys(move.release for move in moves if move.release not in left_out)
    return list(distinct)[:most]


def with_checks(verdict: Verdict, checks: list[Check]) -> Verdict:
    """Add checks to a verdict. They can only make it worse."""
    decision: Decision = verdict.decision
    if any(check.harmful for check in checks):
        decision = "reject"
    elif decision == "promote" and any(check.passed is not True for check in checks):
        decision = "hold"
    return verdict.model_copy(update={"decision": decision, "checks": (*verdict.checks, *checks)})


def _rescored(window: Window, rollout: Rollout, release: str) -> Judged | None:
    """The results of a release on the window.

    None if it cannot be re-scored, and the gate then holds.
    """
    try:
        return window.judged(rollout.fetch(release))
    except Exception as error:
        logger.warning("release %s cannot be re-scored: %s", release[:12], error)
        return None


def _evidence(engine: sa.Engine, release: str) -> Evidence | None:
    """The evidence on which a release was promoted, or None if none was recorded.

    Raises RecordError.
    """
    record = verdicts.read(engine, release)
    return None if record is None else _read(record)


def _read(record: verdicts.ReleaseRecord) -> Evidence | None:
    if record.evidence is None:
        return None
    try:
        return Evidence.stored(record.evidence)
    except RecordError as error:
        raise RecordError(f"release {record.release[:12]}: its {error}") from None


def _with_champion(
    evidence: Evidence,
    window: Window,
    challenger: Judged,
    scored: dict[str, Judged | None],
    fair: Bools,
    champion: Channel,
    own: Evidence | None,
    earlier: list[Evidence],
    params: EvaluateParams,
) -> Evidence:
    """Add the comparison with the champion, unless it is unknown (the gate then holds).

    fair: bool [queries], those outside all releases' own judge windows; own: the evidence on which
    the champion was promoted.
    """
    judged = scored.get(champion.release)
    if judged is None or own is None:
        return evidence.model_copy(update={"first_release": False})
    return compare(
        evidence,
        challenger,
        judged,
        window.queries.requests.user_ids,
        slices(window.queries, window.new_items),
        fair,
        max(share_of(window.new_items, j.lists) for j in scored.values() if j is not None),
        champion.release,
        own.cutoff,
        own.fingerprint,
        params.seed,
        params.confidence,
        earlier,
    )
