"""The parts shared by both kinds of run: servers, service, retrains with printed results, the
report."""

import hashlib
import json
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from base import processes
from base.processes import Supervised
from base.settings import Settings
from flows.loop.console import Console
from flows.retrain import RetrainOutcome, retrain
from flows.rollout import CHANNEL, Rollout
from flows.workspace import Workspace
from serving import catalogue_feed, channels
from training.check import Check

if TYPE_CHECKING:
    from serving.live import Live
    from training.recommender import Recommender

MARKS = {True: "✓", False: "✗", None: "?"}
SYNC_SECONDS = 60.0


@dataclass(frozen=True)
class Plan:
    """What to run.

    prefect_port: port in PREFECT_API_URL; overrides: dotted keys of params.yaml; people: users for
    whom the systems are compared each day; began: when this process started, on the monotonic
    clock.
    """

    settings: Settings
    prefect_port: int
    seed: int
    control: bool
    data: Path | None
    days: int
    waves: int
    people: int
    overrides: dict[str, object]
    reports: Path
    began: float


@dataclass
class Run:
    """A running plan, with the content of its report."""

    plan: Plan
    console: Console
    rollout: Rollout
    prefect: Supervised
    service_port: int
    releases: list[dict[str, Any]] = field(default_factory=list)
    days: list[dict[str, Any]] = field(default_factory=list)
    totals: dict[str, Any] = field(default_factory=dict)
    """Only for real data: each metric over all waves together."""
    confidence: float = 0.95
    """Two-sided level of all intervals in the report. The gate's own level is in params.yaml."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.service_port}"

    def wait_for_prefect(self) -> None:
        with self.console.step("prefect", "prefect") as step:
            processes.wait_for_prefect(self.prefect, self.plan.prefect_port)
            step.text = f"server at {processes.api_url(self.plan.prefect_port)}"

    def workspace(self, overrides: dict[str, object]) -> Workspace:
        """Prepare the retraining workspace."""
        with self.console.step("workspace", "workspace") as step:
            place = self.rollout.workspace(overrides)
            level = f"{self.confidence:.0%}"
            step.text = f"{place.root}; seed {self.plan.seed}, all intervals {level}, by user"
        return place

    @contextmanager
    def serving(self) -> Iterator[Supervised]:
        """Start the service with its clock taken from requests. Does not wait until it answers."""
        environment = {
            "RONDO_CLOCK": "request",
            "RONDO_HOME": str(self.rollout.settings.root),
            # A fixed secret, so that the same seed gives the same draws.
            "RONDO_SECRET": hashlib.sha256(f"rondo loop {self.plan.seed}".encode()).hexdigest(),
        }
        root = self.rollout.settings.root
        with processes.service(root, self.service_port, environment) as service:
            yield service

    def retrain(self, reason: str, overrides: dict[str, object], now: int) -> RetrainOutcome:
        """Retrain and print the result."""
        with self.console.step("retrain", "retrain") as step:
            outcome = retrain(reason, overrides, now)
            stages = " ".join(f"{name} {s:.1f}" for name, s in outcome.stages.items())
            step.text = " ".join(
                f"{name} {s:.1f}" + (f" ({stages})" if name == "stages" else "")
                for name, s in outcome.seconds.items()
            )
        named = outcome.seconds | {f"stages.{name}": s for name, s in outcome.stages.items()}
        for name, seconds in named.items():
            steps = self.console.steps
            steps[f"retrain.{name}"] = steps.get(f"retrain.{name}", 0.0) + seconds
        self.releases.append(
            {
                "release": outcome.release,
                "verdict": outcome.decision,
                "reasons": list(outcome.reasons),
            }
        )
        self._tell(outcome)
        return outcome

    def _tell(self, outcome: RetrainOutcome) -> None:
        """Print lines on data, models, verdict and release."""
        say, judgement, ingested = self.console.line, outcome.judgement, outcome.ingested
        if ingested is not None:
            say(
                f"ingest       {ingested.events} events, {ingested.items} items, "
                f"{ingested.quarantined} quarantined; data version {ingested.version[:12]}", 1,
            )  # fmt: skip
        if judgement is not None:
            evidence = judgement.evidence
            name = evidence.metric
            mean = {system: m[name].mean for system, m in evidence.metrics.items()}
            say(
                f"transformer  {name} {mean.get('transformer', float('nan')):.4f}, "
                f"recency-popularity {mean['popularity']:.4f}", 1,
            )  # fmt: skip
            alone = evidence.differences.get("transformer")
            say(f"trees        {name} {mean['served']:.4f}, minus transformer alone {alone}", 1)
            say(f"gate         {outcome.decision}", 1)
            for check in judgement.verdict.checks:
                say(f"  {describe(check)}", 1)
        champion = channels.read(self.rollout.engine, CHANNEL)
        now_served = "nobody yet" if champion is None else champion.release[:12]
        say(f"release      {outcome.release[:12]}; champion {now_served} at {self.url}", 1)

    def what_is_served(self, frozen: str) -> "tuple[Live, Recommender | None, Recommender]":
        """The service's present state, its models, and release `frozen` with the same catalogue.

        Before the first promotion there are no models, and the state is that of `frozen`.
        """
        from serving import live
        from serving.release import Release
        from training.recommender import Recommender

        champion = channels.read(self.rollout.engine, CHANNEL)
        release = Release.open(self.rollout.fetch(champion.release if champion else frozen))
        feed = catalogue_feed.read(self.rollout.engine, 0)
        now = live.with_feed(live.with_release(live.empty(), release, champion), feed)
        return (
            now,
            now.recommender if champion else None,
            Recommender.load(self.rollout.fetch(frozen), now.catalogue),
        )

    def wait_until_in_step(self, service: Supervised) -> None:
        """Wait until the service serves the champion, today's items and the newest features."""
        with self.console.step("service", "service") as step:
            service.wait_until_answers(f"{self.url}/readyz", timeout=120.0)
            champion = channels.read(self.rollout.engine, CHANNEL)
            wanted = (
                champion.generation if champion else None,
                catalogue_feed.last_sequence(self.rollout.engine),
                self.rollout.online.snapshot(),
            )
            deadline = time.monotonic() + SYNC_SECONDS
            while (found := _status(self.url)) != wanted:
                if time.monotonic() > deadline:
                    raise processes.ProcessFailed(
                        f"the service stays at {found}, not {wanted}; see {service.log}"
                    )
                time.sleep(0.1)
            step.text = f"{self.url} serves generation {wanted[0]}"


def describe(check: Check) -> str:
    """One line about a check."""
    return f"{MARKS[check.passed]} {check.name}: {check.reason}"


def _status(url: str) -> tuple[int | None, int, int] | None:
    request = urllib.request.Request(
        f"{url}/status", b"{}", {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=5.0) as response:
            status = json.load(response)
    except OSError:
        return None
    return status["generation"], status["catalogue_sequence"], status["features_at"]
