"""Logged slates decide: a release is judged by the clicks that it would have earned on them."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base.params_file import edit
from base.settings import Settings
from features.requests.training_set import load_catalogue
from flows import gating
from flows.gating import Judgement
from flows.rollout import Rollout
from flows.workspace import Workspace
from serving.database import connect
from serving.policy import PolicyParams
from tests.features.logs import at
from tests.flows.rivals import TODAY, YESTERDAY, Rivals, make_rivals
from tests.flows.served_slates import serve
from training.contest_rules import told
from training.evidence import Contest
from training.logged_slates import LoggedSlates
from training.recommender import Recommender
from training.value.exposures import Policy
from training.value.paired import Target

pytestmark = [
    pytest.mark.filterwarnings("ignore:GitWildMatchPattern:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Artifact creation outside of a flow:FutureWarning"),
]


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory, checkout: Path) -> Rivals:
    made = make_rivals(tmp_path_factory.mktemp("slates"), checkout)
    for place in (made.equal, made.worse):
        serve(place, made.champion.root / "data" / "release", times=8)
        edit(place.root / "params.yaml", {"gate.min_effective": 50.0})
    return made


@pytest.fixture(scope="module")
def judgements(
    prefect: Callable[[], None], rivals: Rivals, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Judgement]:
    """The verdicts on both challengers, each the first to meet the champion."""
    prefect()

    def judge(challenger: Workspace, home: Path) -> Judgement:
        engine = connect(f"sqlite:///{home / 'rondo.db'}")
        rollout = Rollout(Settings(home=home), engine)
        for place, day in ((rivals.champion, YESTERDAY), (challenger, TODAY)):
            release = rollout.publish(place, at(day), None)
            judgement = gating.judge.fn(place, engine, rollout, release, None)
            if place is rivals.champion:
                rollout.promote(release, judgement.champion, at(day), None)
        engine.dispose()
        return judgement

    return {
        name: judge(getattr(rivals, name), tmp_path_factory.mktemp(name))
        for name in ("equal", "worse")
    }


def contest(judgement: Judgement) -> Contest:
    champion = judgement.evidence.champion
    assert champion is not None
    assert champion.contest is not None
    return champion.contest


def test_the_release_that_served_ranks_the_logged_requests_as_it_did(rivals: Rivals) -> None:
    data = rivals.equal.root / "data"
    slates = LoggedSlates.read(data / "split", data / "features")
    champion = Recommender.load(
        rivals.champion.root / "data" / "release", load_catalogue(data / "split")
    )
    again = slates.ordering(champion).items
    ((rows, shown),) = slates.shown
    logged = shown.ordering.items
    assert len(rows) == len(slates) > 500
    np.testing.assert_array_equal(again[rows][:, : logged.shape[1]], logged)


def test_the_same_models_earn_the_same_and_pass_as_a_refresh(
    judgements: dict[str, Judgement],
) -> None:
    met = contest(judgements["equal"])
    assert (met.basis, met.change, met.clipped) == ("slates", 0.0, 0.0)
    assert met.counted > 500
    assert judgements["equal"].verdict.decision == "promote", judgements["equal"].verdict.reasons


def test_a_release_that_would_have_earned_less_is_rejected_and_told_how_much(
    judgements: dict[str, Judgement],
) -> None:
    judgement, met = judgements["worse"], contest(judgements["worse"])
    assert met.change < -0.2
    assert judgement.verdict.decision == "reject"
    assert any(told(met.change, met.error) in reason for reason in judgement.verdict.reasons)


def test_slates_whose_outcomes_can_still_arrive_are_left_out(
    rivals: Rivals, tmp_path: Path
) -> None:
    data = rivals.equal.root / "data"
    shutil.copytree(data / "split", tmp_path / "split")
    table = pq.read_table(tmp_path / "split" / "slates.parquet")
    opened = pa.array(np.arange(len(table)) < 100)
    place = table.column_names.index("open")
    pq.write_table(table.set_column(place, "open", opened), tmp_path / "split" / "slates.parquet")
    slates = LoggedSlates.read(tmp_path / "split", data / "features")
    assert (len(slates), slates.open) == (len(table) - 100, 100)


def test_slates_of_a_policy_with_a_diversity_penalty_are_valued(
    rivals: Rivals, tmp_path: Path
) -> None:
    shutil.copytree(rivals.equal.root / "data", tmp_path / "data")
    release = rivals.champion.root / "data" / "release"
    serve(
        replace(rivals.equal, root=tmp_path), release, times=2, policy=PolicyParams(diversity=2.0)
    )
    slates = LoggedSlates.read(tmp_path / "data" / "split", tmp_path / "data" / "features")
    catalogue = load_catalogue(tmp_path / "data" / "split")
    ordering = slates.ordering(Recommender.load(release, catalogue))
    diverse, plain = (Target(ordering, Policy(0.5, 0.05, penalty)) for penalty in (2.0, 0.0))
    scores = slates.scores(diverse, plain, catalogue, clip=20.0)
    assert len(slates) > 100
    assert scores.challenger.mean() == pytest.approx(slates.clicks / len(slates), rel=0.02)
    assert scores.clipped == 0.0
    assert (scores.other != scores.challenger).any()
