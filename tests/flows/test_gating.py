"""From a release to its verdict: real releases, compared with the champion."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from base.params_file import edit
from base.settings import Settings
from flows import gating, lease
from flows.gating import Judgement
from flows.rollout import CHANNEL, Rollout
from flows.workspace import Workspace
from serving import channels, verdicts
from serving.database import connect
from serving.fences import Fence, Fenced
from tests.features.logs import at
from tests.flows.rivals import TODAY, YESTERDAY, Rivals, make_rivals
from training.check import Check
from training.gate import Decision, Verdict

pytestmark = [
    # BentoML's imports; Prefect's clients, left open, and its artifacts of a task without a flow.
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Artifact creation outside of a flow:FutureWarning"),
]

METRIC = "ndcg@10"


@dataclass(frozen=True)
class Installation:
    """Where releases are judged. `champion` is the id of the one that is served."""

    rollout: Rollout
    champion: str = ""

    def judge(self, release: str, place: Workspace, fence: Fence | None = None) -> Judgement:
        return gating.judge.fn(place, self.rollout.engine, self.rollout, release, fence)

    def publish(self, place: Workspace) -> str:
        return self.rollout.publish(place, at(TODAY), None)

    def record(self, release: str) -> verdicts.ReleaseRecord:
        found = verdicts.read(self.rollout.engine, release)
        assert found is not None
        return found

    def page(self, release: str) -> Path:
        return self.rollout.reports / f"verdict-{release[:12]}.html"


def check(judgement: Judgement, name: str) -> Check:
    return next(check for check in judgement.verdict.checks if check.name == name)


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Rivals:
    return make_rivals(tmp_path_factory.mktemp("rivals"), checkout)


@pytest.fixture(scope="module")
def judged(
    prefect: Callable[[], None], rivals: Rivals, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A home in which the champion was judged and promoted, and the champion's id."""
    prefect()
    home = tmp_path_factory.mktemp("judged") / "home"
    engine = connect(f"sqlite:///{home / 'rondo.db'}")
    first = Installation(Rollout(Settings(home=home), engine))
    judgement = first.judge(first.publish(rivals.champion), rivals.champion)
    assert judgement.verdict.decision == "promote", judgement.verdict.reasons
    first.rollout.promote(judgement.release, judgement.champion, at(YESTERDAY), None)
    engine.dispose()
    return home, judgement.release


@pytest.fixture
def installation(judged: tuple[Path, str], tmp_path: Path) -> Iterator[Installation]:
    """A copy of that home."""
    home = tmp_path / "home"
    shutil.copytree(judged[0], home)
    engine = connect(f"sqlite:///{home / 'rondo.db'}")
    yield Installation(Rollout(Settings(home=home), engine), judged[1])
    engine.dispose()


def test_a_verdict_is_recorded_under_the_release_and_shown_as_artifact_and_page(
    installation: Installation,
) -> None:
    from prefect.artifacts import Artifact

    release = installation.champion
    record = installation.record(release)
    assert record.decision == "promote"
    assert record.evidence is not None
    assert record.evidence["first_release"] is True
    artifact: Any = Artifact.get(f"verdict-{release[:12]}")
    for shown in (artifact.data, installation.page(release).read_text()):
        assert release in shown
        for name in ("popularity", "champion", "release.golden", "data.quarantine_share"):
            assert name in shown


def test_a_challenger_level_with_the_champion_on_its_own_window_is_promoted(
    installation: Installation, rivals: Rivals
) -> None:
    release = installation.publish(rivals.equal)
    assert release != installation.champion
    judgement = installation.judge(release, rivals.equal)
    beside, now = judgement.evidence.champion, judgement.evidence
    then = installation.record(installation.champion).evidence
    assert beside is not None
    assert then is not None
    assert beside.release == installation.champion
    # Stage `evaluate` has judged the same models on today's window; yesterday's was another.
    assert beside.metrics == now.metrics["served"]
    assert beside.metrics[METRIC].mean != then["metrics"]["served"][METRIC]["mean"]
    assert then["cutoff"] == beside.cutoff < now.cutoff
    assert check(judgement, "champion").passed is True
    assert beside.contest is not None
    assert (beside.contest.change, beside.contest.basis) == (0.0, "organic")
    assert judgement.verdict.decision == "promote", judgement.verdict.reasons


def test_a_challenger_worse_than_the_champion_is_rejected(
    installation: Installation, rivals: Rivals
) -> None:
    judgement = installation.judge(installation.publish(rivals.worse), rivals.worse)
    against = check(judgement, "champion")
    assert (against.passed, against.harmful) == (False, True)
    assert against.reason in judgement.verdict.reasons
    assert judgement.verdict.decision == "reject"
    assert installation.record(judgement.release).decision == "reject"


def test_nobody_is_compared_on_the_window_that_the_champion_was_chosen_on(
    installation: Installation, rivals: Rivals
) -> None:
    equal = installation.judge(installation.publish(rivals.equal), rivals.equal)
    beside = equal.evidence.champion
    assert beside is not None
    assert beside.contest is not None
    assert (beside.left_out, beside.contest.people) == (0, equal.evidence.users)
    installation.rollout.promote(equal.release, equal.champion, at(TODAY), None)
    judgement = installation.judge(installation.publish(rivals.worse), rivals.worse)
    assert judgement.verdict.decision == "hold"
    few = check(judgement, "champion.support")
    assert few.passed is None
    assert "0 queries of 0 people: 20 more people are needed" in few.reason
    assert "nothing new was logged" in check(judgement, "champion").reason


@pytest.mark.parametrize("damage", ["removed", "corrupt"])
def test_a_champion_that_cannot_be_scored_again_holds_even_a_good_challenger(
    installation: Installation, rivals: Rivals, damage: str
) -> None:
    stored = Path(installation.rollout.settings.releases) / installation.champion
    if damage == "removed":
        shutil.rmtree(stored)
    else:
        with (stored / "items.parquet").open("ab") as file:
            file.write(b"one byte too many")
    judgement = installation.judge(installation.publish(rivals.equal), rivals.equal)
    assert judgement.verdict.decision == "hold"
    missing = {c.name for c in judgement.verdict.checks if c.against}
    assert missing == {"champion"}
    assert "the champion was not re-scored on this window" in judgement.verdict.reasons


def test_a_release_that_was_rolled_back_from_is_not_promoted_again_on_the_same_data(
    installation: Installation, rivals: Rivals
) -> None:
    engine = installation.rollout.engine
    release = installation.publish(rivals.equal)
    champion = installation.judge(release, rivals.equal).champion
    installation.rollout.promote(release, champion, at(TODAY), None)
    channels.rollback(engine, CHANNEL, now=at(TODAY))
    judgement = installation.judge(release, rivals.equal)
    assert judgement.verdict.decision == "hold"
    failed = [c.name for c in judgement.verdict.checks if c.against]
    assert failed == ["release.withdrawn"]


def test_a_promoted_release_keeps_its_verdict_when_it_is_judged_again(
    installation: Installation, rivals: Rivals, tmp_path: Path
) -> None:
    before = installation.record(installation.champion)
    shutil.copytree(rivals.champion.root, tmp_path / "stricter")
    edit(tmp_path / "stricter" / "params.yaml", {"gate.min_users": 1_000_000})
    stricter = Workspace(tmp_path / "stricter", rivals.champion.checkout)
    judgement = installation.judge(installation.champion, stricter)
    assert judgement.verdict.decision == "promote"
    assert judgement.verdict.model_dump(mode="json") == before.verdict
    assert judgement.evidence.model_dump(mode="json") == before.evidence
    assert installation.record(installation.champion) == before


def of_a_newer_version(installation: Installation) -> None:
    """The champion's evidence, as a later version of this program may have written it."""
    record = installation.record(installation.champion)
    assert record.verdict is not None
    newer = {**(record.evidence or {}), "novel": 1.0}
    verdicts.record(
        installation.rollout.engine, record.release, "promote", record.verdict, newer, None
    )


def test_a_champion_whose_evidence_a_newer_version_wrote_holds_with_that_as_the_one_reason(
    installation: Installation, rivals: Rivals
) -> None:
    of_a_newer_version(installation)
    judgement = installation.judge(installation.publish(rivals.equal), rivals.equal)
    assert judgement.verdict.decision == "hold"
    assert judgement.verdict.reasons == (
        f"release {installation.champion[:12]}: its evidence cannot be read: "
        "another version of this program wrote it, with novel",
    )
    assert installation.record(judgement.release).decision == "hold"


def test_a_promoted_release_that_a_newer_version_judged_keeps_its_record(
    installation: Installation, rivals: Rivals
) -> None:
    of_a_newer_version(installation)
    before = installation.record(installation.champion)
    judgement = installation.judge(installation.champion, rivals.champion)
    assert judgement.verdict.decision == "hold"
    assert installation.record(installation.champion) == before


def test_a_judge_whose_lease_has_passed_on_writes_nothing(
    installation: Installation, rivals: Rivals
) -> None:
    engine = installation.rollout.engine
    lost = lease.acquire(engine, "retrain", "elsewhere/1/0.00", now=0)
    assert lease.acquire(engine, "retrain", "third/1/0.00", now=lease.EXPIRES_AFTER) is not None
    assert lost is not None
    release = installation.publish(rivals.equal)
    with pytest.raises(Fenced, match="not the newest"):
        installation.judge(release, rivals.equal, lost)
    record = installation.record(release)
    assert (record.decision, record.verdict, record.evidence) == (None, None, None)
    assert not installation.page(release).exists()


GOOD = Check("good", True, 1.0, 0.0, "as it should be")
UNKNOWN = Check("unknown", None, None, None, "was not measured")
BAD = Check("bad", False, 1.0, 0.0, "too slow")
BROKEN = Check("broken", False, None, None, "does not load", harmful=True)


@pytest.mark.parametrize(
    ("decision", "further", "expected"),
    [
        ("promote", [], "promote"),
        ("promote", [GOOD], "promote"),
        ("promote", [GOOD, UNKNOWN], "hold"),
        ("promote", [BAD, GOOD], "hold"),
        ("promote", [BROKEN, GOOD], "reject"),
        ("canary", [GOOD], "canary"),
        ("canary", [BAD], "hold"),
        ("hold", [GOOD], "hold"),
        ("hold", [BAD], "hold"),
        ("hold", [BROKEN], "reject"),
        ("reject", [GOOD], "reject"),
        ("reject", [UNKNOWN], "reject"),
    ],
)
def test_further_checks_can_only_make_a_verdict_worse(
    decision: Decision, further: list[Check], expected: Decision
) -> None:
    verdict = gating.with_checks(Verdict(decision=decision, checks=(GOOD,)), further)
    assert verdict.decision == expected
    assert verdict.checks == (GOOD, *further)
