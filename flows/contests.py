"""Re-score the champion and the reference on the challenger's judge window, and compare."""

import logging
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from features.items.catalogue import Catalogue
from features.requests.requests import Queries
from features.requests.training_set import load_catalogue, load_queries
from features.splits.windows import Windows
from flows.rollout import Rollout
from flows.twin import Twin
from flows.workspace import Workspace
from serving.policy import PolicyParams
from serving.release import Release
from training.comparing import compare, outside, share_of
from training.contest import Scores, contest, popularity_beside
from training.contest_rules import superior
from training.evidence import Contest, Evidence
from training.judging import EvaluateParams, Judged, judge_scores
from training.logged_slates import LoggedSlates
from training.recommender import Recommender
from training.slices import slices
from training.thresholds import GateParams
from training.value.exposures import Policy
from training.value.paired import Target

logger = logging.getLogger("rondo.contests")


@dataclass(frozen=True)
class Scored:
    """A release on the judge window: its metrics, and what it would show on the logged slates.

    target: None if there are no slates.
    """

    judged: Judged
    target: Target | None


@dataclass(frozen=True)
class Window:
    """The challenger's judge window: queries and logged slates, over a catalogue that every release
    must fit.

    slates: None if there are none, or no slate was clicked.
    """

    queries: Queries
    slates: LoggedSlates | None
    catalogue: Catalogue
    recommender: Recommender
    policy: PolicyParams
    k: int

    @staticmethod
    def read(workspace: Workspace, challenger: Path, params: EvaluateParams) -> "Window":
        """Read the window that the stages in the workspace have made, for a release folder."""
        data = workspace.root / "data"
        release, catalogue = Release.open(challenger), load_catalogue(data / "split")
        slates = LoggedSlates.read(data / "split", data / "features")
        return Window(
            load_queries(data / "split", data / "features", "judge", "organic"),
            slates if slates.clicks else None,
            catalogue,
            release.load(catalogue),
            release.policy,
            params.k,
        )

    @cached_property
    def scored(self) -> Scored:
        """The challenger."""
        return self.score(self.recommender, self.policy)

    @property
    def challenger(self) -> Judged:
        """The challenger's metrics."""
        return self.scored.judged

    @property
    def new_exposure(self) -> float:
        """Share of what is shown that the challenger gives to items that nobody could train on."""
        new, explored = self.recommender.new_items, self.policy.epsilon
        even = float(new.mean()) if len(new) else 0.0
        return (1.0 - explored) * share_of(new, self.challenger.lists) + explored * even

    def score(self, recommender: Recommender, policy: PolicyParams) -> Scored:
        """Judge a release, which draws by its own policy, on this window."""
        ranked = recommender.rank(self.queries.requests, threads=2)
        judged = judge_scores(self.queries, ranked.scores, self.k, ranked.candidates)
        if self.slates is None:
            return Scored(judged, None)
        ordering = self.slates.ordering(recommender, threads=2)
        drawn = Policy(policy.temperature, policy.epsilon, policy.diversity)
        return Scored(judged, Target(ordering, drawn))


@dataclass(frozen=True)
class Contests:
    """The challenger's contests, given the evidence of earlier challengers.

    evidence_of: the evidence on which a release was judged, None if none was recorded; by_gate:
    whether the gate promoted a release, so not a canary; withdrawn: releases that were rolled back
    from; twin: of the champion, if the recipe changed.
    """

    window: Window
    rollout: Rollout
    evidence: Evidence
    earlier: Sequence[Evidence]
    evidence_of: Callable[[str], Evidence | None]
    by_gate: Callable[[str], bool]
    withdrawn: Container[str]
    params: EvaluateParams
    thresholds: GateParams
    twin: Twin | None = None

    def against(self, champion: str) -> Evidence:
        """Add the contests with the champion, its twin, the reference and recency-popularity.

        What cannot be compared stays unknown, and the gate holds. Raises RecordError if the
        evidence of one of them was written by another version of this program.
        """
        evidence = self.evidence.model_copy(update={"first_release": False})
        own, scored = self.evidence_of(champion), self._rescored(champion)
        if own is None or scored is None:
            return evidence
        met = self._met(champion, scored, own, parts=True)
        if met is None:
            return evidence
        evidence = compare(
            evidence,
            self.window.challenger,
            scored.judged,
            outside(self.window.queries.requests.timestamps, [own.windows]),
            own,
            met,
            self.params.seed,
            self.params.confidence,
        )
        reference = reference_release(champion, own, self.by_gate(champion), self.withdrawn)
        evidence = self._with_twin(self._with_popularity(evidence, champion), own)
        evidence = evidence.model_copy(update={"reference_release": reference})
        if reference == champion:
            return evidence
        own, scored = self.evidence_of(reference), self._rescored(reference)
        if own is None or scored is None:
            return evidence
        met = self._met(reference, scored, own)
        return evidence.model_copy(update={"reference": met})

    def _met(
        self, release: str, scored: Scored, own: Evidence, parts: bool = False
    ) -> Contest | None:
        """The contest with a release. None if it fails, and the gate then holds."""
        try:
            return self._contest(release, scored, [own.windows], parts)
        except Exception as error:
            logger.warning("release %s cannot be compared: %s", release[:12], error)
            return None

    def _with_popularity(self, evidence: Evidence, champion: str) -> Evidence:
        """Add the contest with recency-popularity, or nothing, and the gate holds.

        Organic choices stand in where the log says too little about what popularity would show.
        """
        window, name = self.window, popularity_beside(champion)
        try:
            popular = window.score(window.recommender.popularity, window.policy)
            met = self._contest(name, popular, [])
            if met.other_clipped > self.thresholds.max_clipped:
                met = self._contest(name, replace(popular, target=None), [])
        except Exception as error:
            logger.warning("recency-popularity cannot be judged: %s", error)
            return evidence
        return evidence.model_copy(update={"popularity": met})

    def _with_twin(self, evidence: Evidence, own: Evidence) -> Evidence:
        """Add the contest with the champion's twin, or why there is none. own: as in `against`."""
        twin = self.twin
        if twin is None or own.fingerprint == evidence.fingerprint:
            return evidence
        if twin.missing or twin.recipe != own.fingerprint:
            why = twin.missing or "the champion changed while it was fitted"
            return evidence.model_copy(update={"twin_missing": why})
        if twin.equal:
            return evidence.model_copy(update={"twin_equal": True})
        try:
            scored = self.window.score(twin.load(self.window.catalogue), twin.policy)
            met = self._contest(own.fingerprint, scored, [own.windows])
        except Exception as error:
            logger.warning("the champion's twin cannot be judged: %s", error)
            why = " ".join(str(error).split())
            return evidence.model_copy(update={"twin_missing": f"it cannot be judged: {why}"})
        return evidence.model_copy(update={"twin": met})

    def _contest(
        self, release: str, other: Scored, own: Sequence[Windows], parts: bool = False
    ) -> Contest:
        """own: windows in which the other was chosen, and looks better than it is; parts: whether
        slices are kept, which only the comparison with the champion judges."""
        window, mine = self.window, self.window.scored
        if window.slates is not None and mine.target is not None and other.target is not None:
            scores = window.slates.scores(
                mine.target, other.target, window.catalogue, self.thresholds.clip
            )
        else:
            requests = window.queries.requests
            scores = Scores.of_queries(
                mine.judged,
                other.judged,
                self.evidence.metric,
                requests.user_ids,
                requests.timestamps,
                slices(window.queries, window.recommender.new_items),
            )
        return contest(
            scores if parts else replace(scores, slices={}),
            release,
            outside(scores.timestamps, own),
            self.evidence.windows.judge_end,
            self.evidence,
            self.earlier,
            self.thresholds,
        )

    def _rescored(self, release: str) -> Scored | None:
        """A release on the window. None if it cannot be re-scored, and the gate then holds."""
        try:
            found = Release.open(self.rollout.fetch(release))
            return self.window.score(found.load(self.window.catalogue), found.policy)
        except Exception as error:
            logger.warning("release %s cannot be re-scored: %s", release[:12], error)
            return None


def reference_release(
    champion: str, own: Evidence, by_gate: bool, withdrawn: Container[str]
) -> str:
    """The last release that was first, or that the gate promoted as better because its code or
    params differed.

    own: the evidence on which the champion was judged; by_gate: whether the gate promoted it. A
    canary succeeds when it is not much worse, which does not make it the reference. Nor does being
    better than a twin alone: newer data can have made both worse than what served. withdrawn:
    releases that cannot be it, because they were rolled back from.
    """
    side, named = own.champion, own.reference_release
    changed = side is not None and side.fingerprint != own.fingerprint and not own.twin_equal
    if side is not None and own.twin is not None:
        changed = changed and side.contest is not None and superior(side.contest)
    better = side is None or (by_gate and changed)
    return champion if better or named is None or named in withdrawn else named
