"""The stage as the pipeline runs it: a process of its own in a workspace."""

import dataclasses
import json
import signal
import time
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from base.settings import Settings
from features.splits.windows import Windows
from tests.training.transformer.stage import finish, start, wait_for_checkpoint
from tests.training.transformer.synthetic import (
    OPTIONS,
    PARAMS,
    events,
    item_table,
    write_params,
    write_split,
)
from training.fit import fit
from training.transformer.config import TransformerParams
from training.transformer.data import FitError
from training.transformer.packing import Epoch
from training.transformer.training import read_tokens

ITEMS = 40


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A split of a chain of items, and `params.yaml`."""
    write_split(tmp_path / "data" / "split", events(300, ITEMS, 20), item_table(ITEMS))
    write_params(tmp_path)
    return tmp_path


def digest(workspace: Path) -> str:
    weights = (workspace / "out" / "model" / "model.safetensors").read_bytes()
    return sha256(weights + (workspace / "out" / "fit.json").read_bytes()).hexdigest()


def test_a_run_killed_between_epochs_resumes_to_the_same_weights(workspace: Path) -> None:
    params = dataclasses.replace(PARAMS, max_epochs=12, patience=12)
    write_params(workspace, params)
    options = OPTIONS, Settings(home=workspace / "unbroken")
    fit(
        workspace / "data/split",
        workspace / "out/model",
        workspace / "out/fit.json",
        params,
        *options,
    )
    unbroken = digest(workspace)

    checkpoints = workspace / "killed" / "checkpoints"
    for number in (signal.SIGKILL, signal.SIGTERM):
        before = time.time_ns()
        killed = start(workspace, "killed")
        wait_for_checkpoint(killed, checkpoints, before)
        killed.send_signal(number)
        killed.communicate()
        assert list(checkpoints.glob("*/resume.ckpt")), "the run ended before it was killed"
        assert killed.returncode == -number

    output = finish(start(workspace, "killed"))
    assert "12 epochs" in output
    assert json.loads((workspace / "out/fit.json").read_text())["options"]["threads"] == 1
    assert digest(workspace) == unbroken
    assert not list(checkpoints.iterdir())


def run(folder: Path, params: TransformerParams = PARAMS) -> dict[str, float]:
    out = folder / "metrics" / "fit.json"
    fit(folder / "split", folder / "transformer", out, params, OPTIONS, Settings())
    metrics: dict[str, float] = json.loads(out.read_text())
    return metrics


def test_the_model_beats_popularity_where_order_matters(tmp_path: Path) -> None:
    write_split(tmp_path / "split", events(300, ITEMS, 20), item_table(ITEMS))
    metrics = run(tmp_path, dataclasses.replace(PARAMS, max_epochs=6, patience=6))
    assert metrics["ndcg@10"] > 2 * metrics["popularity_ndcg@10"]


def test_events_after_the_fit_window_do_not_touch_the_weights(tmp_path: Path) -> None:
    columns = events(100, ITEMS, 20)
    end = int(np.quantile(columns["timestamp"], 0.8))
    write_split(tmp_path / "split", columns, item_table(ITEMS), fit_end=end)
    run(tmp_path, dataclasses.replace(PARAMS, max_epochs=1))
    first = load_file(tmp_path / "transformer" / "model.safetensors")

    late = columns["timestamp"] >= end
    columns["item"] = np.where(late, (columns["item"] + 7) % ITEMS, columns["item"])
    write_split(tmp_path / "split", columns, item_table(ITEMS), fit_end=end)
    run(tmp_path, dataclasses.replace(PARAMS, max_epochs=1))
    second = load_file(tmp_path / "transformer" / "model.safetensors")
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_steps_with_nothing_new_to_predict_are_no_error(tmp_path: Path) -> None:
    columns = events(100, ITEMS, 20)
    again = 300  # of one more user, who comes back to three items
    more = {
        "user": np.full(again, 100, dtype=np.int32),
        "item": np.arange(again, dtype=np.int32) % 3,
        "event_type": np.resize(columns["event_type"], again),
        "timestamp": columns["timestamp"].min() + np.arange(again) * 1_000_000,
    }
    joined = {name: np.concatenate([columns[name], more[name]]) for name in columns}
    write_split(tmp_path / "split", joined, item_table(ITEMS))
    params = dataclasses.replace(PARAMS, max_epochs=2, batch_tokens=17)
    end = Windows.read(tmp_path / "split" / "windows.json").fit_end
    tokens = read_tokens(tmp_path / "split", end, repeats=False)[0]
    assert any(not len(batch.all_targets) for batch in Epoch(tokens, 16, 17, 1, 0))
    assert run(tmp_path, params)["epochs"] == 2


def test_an_empty_fit_window_is_explained(tmp_path: Path) -> None:
    columns = {name: values[:0] for name, values in events(3, ITEMS, 5).items()}
    write_split(tmp_path / "split", columns, item_table(ITEMS))
    with pytest.raises(FitError, match="no events"):
        run(tmp_path)
    assert not (tmp_path / "transformer").exists()


def test_a_single_item_is_explained(tmp_path: Path) -> None:
    columns = events(30, ITEMS, 10)
    columns["item"][:] = 0
    write_split(tmp_path / "split", columns, item_table(1))
    with pytest.raises(FitError, match="single item"):
        run(tmp_path)


def test_one_user_is_enough_to_train(tmp_path: Path) -> None:
    columns = events(1, 400, 2)
    columns = {
        "user": np.zeros(200, dtype=np.int32),
        "item": np.arange(200, dtype=np.int32),
        "event_type": np.resize(columns["event_type"], 200),
        "timestamp": columns["timestamp"][0] + np.arange(200) * 60_000_000,
    }
    write_split(tmp_path / "split", columns, item_table(200))
    assert run(tmp_path, dataclasses.replace(PARAMS, max_epochs=1))["epochs"] == 1


def test_more_devices_than_rows_in_a_step_are_explained(tmp_path: Path) -> None:
    write_split(tmp_path / "split", events(100, ITEMS, 20), item_table(ITEMS))
    eight = OPTIONS.model_copy(update={"devices": 4, "num_nodes": 2})
    params = dataclasses.replace(PARAMS, batch_tokens=120)
    with pytest.raises(FitError, match="has 7 rows, fewer than the 8 devices"):
        fit(tmp_path / "split", tmp_path / "m", tmp_path / "f", params, eight, Settings())


def test_a_loss_that_is_not_finite_stops_the_run_without_output(tmp_path: Path) -> None:
    write_split(tmp_path / "split", events(100, ITEMS, 20), item_table(ITEMS))
    with pytest.raises(FitError, match=r"not finite.*fit.learning_rate \(now 1e\+30\)"):
        run(tmp_path, dataclasses.replace(PARAMS, learning_rate=1e30))
    assert not (tmp_path / "transformer").exists()


def test_a_gpu_is_used_where_it_is_asked_for_or_said_to_be_missing(workspace: Path) -> None:
    process = start(workspace, "home", accelerator="gpu")
    output, _ = process.communicate(timeout=280)
    assert (process.returncode == 0) == torch.cuda.is_available()
    assert process.returncode == 0 or "No supported gpu backend found" in output.splitlines()[-1]
