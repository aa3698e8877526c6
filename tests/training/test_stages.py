"""candidates → trees → evaluate on a real split of a random log, without a transformer."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from base.params import read
from features.batch.aggregate import aggregate
from features.requests.training_set import load_catalogue, load_queries
from features.splits.split import split
from features.splits.windowing import SplitParams
from features.splits.windows import Windows
from tests.features.logs import item, random_log, write_log
from tests.training import market
from training import candidates, evaluate, trees
from training.eligible import eligible_items
from training.evidence import Evidence
from training.fingerprint import fingerprint
from training.gate import gate
from training.recommender import Recommender
from training.sources.neighbours import Neighbours
from training.thresholds import GateParams

ROOT = Path(__file__).resolve().parents[2]
OUTPUTS = ("candidates", "trees", "evaluation", "metrics")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with params, split, features and the outputs of the three stages, run twice."""
    root = tmp_path_factory.mktemp("workspace")
    shutil.copy(ROOT / "params.yaml", root)
    for name in ("split", "features"):
        (root / name).mkdir()
    split(random_log(root / "log"), root / "split", SplitParams(min_targets=40), False)
    aggregate(root / "split", root / "features")
    patch = pytest.MonkeyPatch()
    patch.chdir(root)
    for run in ("first", "second"):
        out = {name: root / run / name for name in OUTPUTS}
        (root / run).mkdir()
        inputs = root / "split", root / "features", root / "no-transformer"
        fitted = market.fit_sources(root, root / run / "sources")
        candidates.main(*inputs, fitted, out["candidates"])
        trees.main(out["candidates"], out["trees"], out["metrics"] / "trees.json")
        evaluate.main(
            *inputs,
            out["candidates"],
            out["trees"],
            out["evaluation"],
            out["metrics"] / "evaluate.json",
        )
    patch.undo()
    return root


def test_the_same_inputs_give_the_same_bytes(workspace: Path) -> None:
    first = {p.relative_to(workspace / "first"): p for p in (workspace / "first").rglob("*.*")}
    assert len([p for p in first.values() if p.is_file()]) >= 10
    for relative, path in first.items():
        assert path.read_bytes() == (workspace / "second" / relative).read_bytes(), relative


def test_every_group_that_trees_learn_from_holds_a_chosen_item_found_by_a_source(
    workspace: Path,
) -> None:
    table = pq.read_table(workspace / "first/candidates/rank.parquet")
    catalogue = load_catalogue(workspace / "split")
    queries = load_queries(workspace / "split", workspace / "features", "rank", "organic")
    eligible = eligible_items(catalogue, queries.requests, repeats=False)
    organic = table.filter(np.array(table["kind"].to_pylist()) == "organic")
    query, item = organic["query"].to_numpy(), organic["item"].to_numpy()
    label = organic["label"].to_numpy()
    assert len(query)
    assert eligible[query, item].all()
    assert set(query) == set(query[label == 1])
    assert len(set(query)) < len(queries)
    for row in np.flatnonzero(label):
        assert item[row] in queries.targets[query[row]]


def test_sources_see_nothing_from_the_rank_window_on(workspace: Path) -> None:
    windows = Windows.read(workspace / "split/windows.json")
    events = pq.read_table(workspace / "split/events.parquet")
    before = events["timestamp"].to_numpy() < windows.fit_end
    before &= events["received_at"].to_numpy() < windows.fit_end
    before &= ~events["capped"].to_numpy(zero_copy_only=False)
    catalogue = load_catalogue(workspace / "split")
    parts = Recommender.assemble(catalogue, workspace / "first/candidates/sources", None, None)
    neighbours = parts.sources.get(Neighbours)
    assert neighbours is not None
    counted = neighbours.events
    items = events["item"].to_numpy()[before]
    np.testing.assert_array_equal(counted, np.bincount(items, minlength=len(counted)))


def test_the_evidence_is_complete_but_for_the_champion_so_the_gate_holds(workspace: Path) -> None:
    evidence = Evidence.read(workspace / "first/evaluation/evidence.json")
    assert set(evidence.metrics) == {"served", "neighbours", "popularity", "als"}
    assert evidence.users > 1
    assert evidence.data["events"] > 0
    verdict = gate(evidence, GateParams())
    assert verdict.decision != "promote"
    names = {check.name for check in verdict.checks if check.passed is None}
    assert {"champion", "data.quarantine_share"} <= names


def test_the_fingerprint_names_code_and_params_but_not_data(workspace: Path) -> None:
    params = read(workspace / "params.yaml")
    same = Evidence.read(workspace / "first" / "evaluation" / "evidence.json").fingerprint
    assert same == fingerprint(params)
    assert same == fingerprint(params | {"input": "data/log", "gate": {}})
    assert same != fingerprint(params | {"trees": {"seed": 2}})


def test_what_items_became_in_the_judge_window_changes_nothing_that_trees_learn_from(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = SplitParams(min_targets=40)
    windows = Windows.read(workspace / "split/windows.json")
    later = windows.rank_end + 1
    versions = [
        item(f"i{n}", later, created_at=later, price=1e3, available=n % 2 == 0, title=f"new {n}")
        for n in range(60)
    ]
    shutil.copytree(workspace / "log", tmp_path / "log")
    write_log(tmp_path / "log", [], versions, first=1_000_000)
    for name in ("split", "features"):
        (tmp_path / name).mkdir()
    assert split(tmp_path / "log", tmp_path / "split", params, False) == windows
    aggregate(tmp_path / "split", tmp_path / "features")
    monkeypatch.chdir(workspace)
    inputs = tmp_path / "split", tmp_path / "features", tmp_path / "no-transformer"
    fitted = market.fit_sources(tmp_path, tmp_path / "sources")
    candidates.main(*inputs, fitted, tmp_path / "candidates")
    for name in ("rank.parquet", "sources/sources.json", "sources/popularity.json"):
        before = workspace / "first/candidates" / name
        assert (tmp_path / "candidates" / name).read_bytes() == before.read_bytes()
    fit_items = (root / "split/fit_items.parquet" for root in (workspace, tmp_path))
    assert next(fit_items).read_bytes() == next(fit_items).read_bytes()
    assert load_catalogue(tmp_path / "split").available.sum() == 30
