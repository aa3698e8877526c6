"""The search as `make tune` runs it: with the real trainers, and the real Optuna on a file."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from base.errors import InputError
from base.params import load
from base.settings import Settings
from tests.training.test_trees import table
from tests.training.transformer.synthetic import OPTIONS, events, item_table, write_split
from training import tune as command
from training.transformer.config import TransformerParams
from training.tune import tune
from training.tuning.report import Summary

ITEMS = 30
PARAMS = """\
# Every tunable, one section per stage.

fit:
  size: tiny             # tiny | small | base | large | xl
  seed: 1
  max_epochs: {epochs}
  patience: {epochs}
  batch_tokens: 256
  max_length: 16
  dropout: {dropout}           # of activations
  id_dropout: 0.1
  weight_decay: 0.01
  tail_share: 0.1
  tail_queries: 100

trees: {{max_trees: 20, min_data_in_leaf: 20, num_leaves: 7, reg: 30.0}}

tune:
  sampler: random        # tpe | random | grid
  fit:
    {space}
  trees:
    reg: {{low: 1.0, high: 100.0, log: true}}
"""
DROPOUTS = "dropout: {choices: [0.9, 0.1]}"


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data of every search here."""
    folder = tmp_path_factory.mktemp("split")
    return write_split(folder, events(150, ITEMS, 14), item_table(ITEMS))


def write(folder: Path, space: str = DROPOUTS, dropout: float = 0.9, epochs: int = 2) -> Path:
    path = folder / "params.yaml"
    path.write_text(PARAMS.format(space=space, dropout=dropout, epochs=epochs))
    return path


def run(
    folder: Path, split: Path, home: str = "home", dry_run: bool = False, **overrides: Any
) -> Summary:
    return tune(
        "fit",
        split,
        folder / "params.yaml",
        folder / "reports",
        Settings(home=folder / home),
        OPTIONS,
        overrides,
        dry_run,
    )


def test_a_better_value_is_written_back_and_comments_stay(
    tmp_path: Path, split: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path)
    before = path.read_text()
    tried = run(tmp_path, split, sampler="grid", dry_run=True)
    assert path.read_text() == before
    assert not tried.written

    summary = run(tmp_path, split, sampler="grid")
    assert path.read_text() == before.replace("dropout: 0.9 ", "dropout: 0.1 ")
    assert load(TransformerParams, "fit", path).dropout == 0.1
    assert "-  dropout: 0.9           # of activations" in summary.diff
    assert summary.diff == tried.diff
    assert summary.diff in capsys.readouterr().out
    assert summary.trials == tried.trials, "the second run had nothing to try"

    report = json.loads((tmp_path / "reports" / "tune.json").read_text())
    assert report["written"]
    present, best = report["trials"]
    assert (present["values"], best["values"]) == ({"dropout": 0.9}, {"dropout": 0.1})
    assert len(best["curve"]) == 2
    assert max(best["curve"]) == best["value"] > present["value"]
    page = (tmp_path / "reports" / "tune.html").read_text()
    assert page.count("<img") == 1
    assert 'src="data:image/png;base64,' in page
    assert "Written to params.yaml" in page


def test_nothing_is_written_when_no_trial_is_better_than_the_present_values(
    tmp_path: Path, split: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path, dropout=0.1)
    before = path.read_text()
    summary = run(tmp_path, split, sampler="grid")
    assert (summary.best, summary.diff) == (summary.present, "")
    assert path.read_text() == before
    assert "stays as it is" in capsys.readouterr().out


def test_a_second_run_goes_on_as_an_unbroken_one_would(tmp_path: Path, split: Path) -> None:
    space = "dropout: {low: 0.1, high: 0.95}"
    write(tmp_path, space, epochs=1)
    first = run(tmp_path, split, dry_run=True, trials=2)
    second = run(tmp_path, split, dry_run=True, trials=4)
    unbroken = run(tmp_path, split, home="other", dry_run=True, trials=4)
    assert second.trials[:2] == first.trials
    assert len(second.trials) == 4
    assert [t.values for t in second.trials] == [t.values for t in unbroken.trials]
    assert [t.value for t in second.trials] == [t.value for t in unbroken.trials]


def test_a_run_that_was_killed_goes_on_and_its_trial_is_repeated(
    tmp_path: Path, split: Path
) -> None:
    write(tmp_path, epochs=12)
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "RONDO_HOME": str(tmp_path / "home"),
        "RONDO_TRAIN_ACCELERATOR": "cpu",
        "RONDO_TRAIN_THREADS": "1",
    }
    arguments = ["--trials", "2", "--sampler", "grid", "--data", str(split), "--dry-run"]
    killed = subprocess.Popen(
        [sys.executable, "-m", "training.tune", *arguments],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    studies = tmp_path / "home" / "tune"
    deadline = time.monotonic() + 100
    while not (found := list(studies.glob("*/checkpoints/trial-0000/resume.ckpt"))):
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()

    summary = run(tmp_path, split, sampler="grid", dry_run=True, trials=2)
    assert [trial.state for trial in summary.trials] == ["finished", "finished"]
    assert [trial.values["dropout"] for trial in summary.trials] == [0.9, 0.1]
    assert summary.trials[0].number == 1, "the killed trial is not counted"
    assert all(len(trial.curve) == 12 for trial in summary.trials)
    assert not found[0].exists()


def test_a_trial_that_fails_is_recorded_with_its_reason_and_the_search_goes_on(
    tmp_path: Path, split: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "weight_decay: {choices: [0.01, 1.0e+38, 0.02]}", dropout=0.1)
    summary = run(tmp_path, split, sampler="grid")
    [failed] = [trial for trial in summary.trials if trial.state == "failed"]
    assert failed.values == {"weight_decay": 1e38}
    assert "the loss is not finite" in failed.error
    assert len(summary.trials) == 3
    assert failed.error in capsys.readouterr().out
    assert "the loss is not finite" in (tmp_path / "reports" / "tune.html").read_text()


def test_a_search_without_a_single_value_is_one_error(tmp_path: Path, split: Path) -> None:
    path = write(tmp_path, "weight_decay: {choices: [1.0e+38]}")
    path.write_text(path.read_text().replace("weight_decay: 0.01", "weight_decay: 1.0e+38"))
    before = path.read_text()
    with pytest.raises(InputError, match=r"every trial failed.*not finite"):
        run(tmp_path, split, sampler="grid")
    assert path.read_text() == before


@pytest.mark.slow
def test_trials_side_by_side_are_those_of_one_after_another(tmp_path: Path, split: Path) -> None:
    write(tmp_path, "dropout: {low: 0.1, high: 0.95}", epochs=1)
    alone = run(tmp_path, split, dry_run=True, trials=3)
    together = run(tmp_path, split, home="other", dry_run=True, trials=3, jobs=2)
    assert [t.values for t in together.trials] == [t.values for t in alone.trials]
    assert [t.value for t in together.trials] == [t.value for t in alone.trials]
    logs = list((tmp_path / "other" / "tune").glob("*/logs/worker-*.log"))
    assert len(logs) == 2


def test_the_trees_are_searched_on_their_own_tail(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "candidates").mkdir()
    pq.write_table(table(200, seed=1), tmp_path / "candidates" / "rank.parquet")
    places = tmp_path / "candidates", path, tmp_path / "reports"
    settings = Settings(home=tmp_path / "home")
    summary = tune("trees", *places, settings, OPTIONS, {"trials": 3})
    assert [trial.state for trial in summary.trials] == ["finished"] * 3
    assert "<img" not in (tmp_path / "reports" / "tune.html").read_text()


def test_missing_data_is_one_line_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["tune"])
    with pytest.raises(SystemExit) as ended:
        command.main()
    assert ended.value.code == (
        "tune: data/split/events.parquet does not exist: run `dvc repro split` first"
    )
