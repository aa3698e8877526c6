"""Look at the canary: count what is new, decide, and grow, promote or roll it back.

The monitor looks every minute; `rondo canary check` looks at once. Looks hold the lease `canary`,
so one at a time acts, and a look that is killed anywhere is finished by the next: what was counted
is stored with its offset, and a canary that was promoted but not ended is found as the champion.
"""

import logging
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from base.params import load
from features.schema import DAY, MINUTE
from features.splits.windowing import SplitParams
from flows import canary_bots
from flows.environment import CHECKOUT
from flows.lease import Busy, lease, wall_clock
from flows.rollout import CHANNEL, Rollout
from serving import arms, canaries, canary_evidence, channels
from serving.canaries import CANARY, Canary, CanaryError, State
from serving.channels import Channel, ChannelMoved
from serving.fences import Fence
from training.canary import start
from training.canary.decision import Look, decide
from training.canary.evidence import Evidence
from training.canary.params import CanaryParams

logger = logging.getLogger("rondo.canary")

#: Loads that began so long ago and did not end have failed.
LOADING: Final = MINUTE


@dataclass(frozen=True)
class Looked:
    """What a look found and did. canary: after it; look, evidence: None if it had to end anyway."""

    canary: Canary
    look: Look | None
    evidence: Evidence | None


def params() -> CanaryParams:
    """Section `canary` of the checkout's params.yaml."""
    return load(CanaryParams, "canary", CHECKOUT / "params.yaml")


def rules() -> SplitParams:
    """Section `split`, whose attribution window says which clicks count."""
    return load(SplitParams, "split", CHECKOUT / "params.yaml")


def start_share(engine: sa.Engine, champion: Channel | None, now: int) -> float:
    """The share with which a canary starts, by the users who asked for recommendations in the days
    that it may take. now: µs."""
    chosen, first = params(), champion is None
    since = now - round(chosen.max_days * DAY)
    seen = arms.users_since(engine, since, start.users_asked(chosen, first))
    return start.share(seen, chosen, first)


def propose(
    rollout: Rollout, release: str, champion: Channel | None, now: int, fence: Fence | None
) -> Canary | None:
    """Start the canary of a release with the verdict `canary`, judged against `champion`.

    Returns None if another canary is running, which goes on, or if the two releases define features
    differently, since they share one online store.
    """
    known = canaries.running(rollout.engine, CANARY)
    if known is not None:
        if known.release != release:
            logger.warning("%s waits: canary %s is running", release[:12], known.release[:12])
            return None
        return known
    if not rollout.can_share_features(release, champion):
        logger.warning(
            "%s cannot be a canary: it defines features differently from the champion, and both "
            "would read one online store",
            release[:12],
        )
        return None
    share = start_share(rollout.engine, champion, now)
    control = None if champion is None else champion.release
    try:
        return canaries.start(rollout.engine, CANARY, release, control, share, now=now, fence=fence)
    except CanaryError as error:  # somebody started one by hand meanwhile; the retrain goes on
        logger.warning("%s waits: %s", release[:12], error)
        return None


def check(engine: sa.Engine, now: int | None = None) -> Looked | None:
    """Look once. now: µs, by default the real clock.

    Returns None if there is no canary, or if another process is looking.
    """
    if canaries.running(engine, CANARY) is None:
        return None
    try:
        with lease(engine, "canary", ask_again=False) as held:
            return look(engine, params(), now or wall_clock(), held.fence)
    except Busy as busy:
        logger.info("%s", busy)
        return None


def look(engine: sa.Engine, chosen: CanaryParams, now: int, fence: Fence | None) -> Looked | None:
    """Look once, with the lease held. Returns None if there is no canary.

    Raises CanaryError if canary or champion were changed meanwhile.
    """
    canary = canaries.running(engine, CANARY)
    if canary is None:
        return None
    champion = channels.read(engine, CHANNEL)
    ended = _ended(canary, champion)
    if ended is not None:
        return Looked(_finish(engine, canary, *ended, now, fence), None, None)
    canary, everybody = canary_evidence.count(engine, canary, chosen, rules(), now, fence)
    evidence = canary_evidence.of_people(engine, canary, everybody, chosen)
    said = decide(evidence, chosen, (now - canary.started_at) / DAY)
    if said.action in ("succeed", "roll back") and canary_bots.set_aside(engine, canary, fence):
        evidence = canary_evidence.of_people(engine, canary, everybody, chosen)
        said = decide(evidence, chosen, (now - canary.started_at) / DAY)
    if said.action == "grow":
        canary = canaries.grow(engine, canary, said.share, fence)
        logger.info("canary %s: %s", canary.release[:12], said.reason)
    elif said.action == "succeed":
        generation = champion.generation if champion else 0
        reason = f"canary: {said.reason}"
        try:
            channels.move(
                engine, CHANNEL, canary.release, generation, fence, now=now, reason=reason
            )
        except ChannelMoved as error:  # a promotion or `rondo rollback`; the next look ends it
            raise CanaryError(f"it was not promoted: {error}") from None
        canary = _finish(engine, canary, "promoted", said.reason, now, fence)
    elif said.action == "roll back":
        canary = _finish(engine, canary, "rolled back", said.reason, now, fence)
    elif said.action == "stop":
        canary = _finish(engine, canary, "stopped", said.reason, now, fence)
    return Looked(canary, said, evidence)


def _ended(canary: Canary, champion: Channel | None) -> tuple[State, str] | None:
    """Why a canary ends without a comparison, or None."""
    served = champion.release if champion else None
    if served == canary.release:
        return "promoted", "it is the champion"
    if served != canary.control:
        return "stopped", "the champion that it was compared with is not served any more"
    # A worker whose clock is ahead leaves a time to come.
    stuck = abs(wall_clock() - canary.loading_at) > LOADING
    if canary.loading >= canaries.MOST_LOADING and stuck:
        return "rolled back", f"{canary.loading} times a worker began to load it and did not end"
    return None


def _finish(
    engine: sa.Engine, canary: Canary, state: State, reason: str, now: int, fence: Fence | None
) -> Canary:
    level = logging.WARNING if state == "rolled back" else logging.INFO
    logger.log(level, "canary %s %s: %s", canary.release[:12], state, reason)
    return canaries.finish(engine, canary, state, reason, fence, now=now)
