"""Two processes give the same result as one, for the stage on several devices (here CPUs)."""

import dataclasses
import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from base.processes import free_port
from base.settings import Settings
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

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ITEMS = 40
EXACT = dataclasses.replace(PARAMS, dropout=0.0, id_dropout=0.0, max_epochs=6, patience=6)
SHARED = [("ddp", "2"), ("fsdp", "2")]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    write_split(tmp_path / "data" / "split", events(300, ITEMS, 20), item_table(ITEMS))
    write_params(tmp_path, EXACT)
    return tmp_path


def train_alone(folder: Path, params: TransformerParams) -> dict[str, Any]:
    """The result of training in one process."""
    out = folder / "out" / "fit.json"
    split = write_split(folder / "split", events(300, ITEMS, 20), item_table(ITEMS))
    fit(split, folder / "out" / "model", out, params, OPTIONS, Settings(home=folder / "home"))
    return metrics(folder) | {"weights": weights(folder)}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return train_alone(tmp_path_factory.mktemp("alone"), EXACT)


def metrics(workspace: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((workspace / "out" / "fit.json").read_text())
    return found


def weights(workspace: Path) -> dict[str, np.ndarray]:
    """The weights that will be served: the average after the best epoch."""
    return dict(load_file(workspace / "out" / "model" / "model.safetensors"))


@pytest.mark.parametrize(("strategy", "devices"), SHARED)
def test_the_loss_curve_is_that_of_one_process(
    workspace: Path, alone: dict[str, Any], strategy: str, devices: str
) -> None:
    output = finish(start(workspace, "both", devices=devices, strategy=strategy))
    together = metrics(workspace)
    np.testing.assert_allclose(together["epoch_loss"], alone["epoch_loss"], rtol=1e-5)
    np.testing.assert_allclose(together["epoch_ndcg@10"], alone["epoch_ndcg@10"], atol=2e-3)
    assert "Warning" not in output


@pytest.mark.parametrize(("strategy", "devices"), SHARED)
def test_a_killed_run_goes_on_with_another_number_of_devices(
    workspace: Path, alone: dict[str, Any], strategy: str, devices: str
) -> None:
    killed = start(workspace, "killed", devices=devices, strategy=strategy)
    wait_for_checkpoint(killed, workspace / "killed" / "checkpoints")
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    output = finish(start(workspace, "killed", devices="1", strategy=strategy))
    assert "epoch 1:" not in output
    assert f"epoch {EXACT.max_epochs}:" in output
    assert not list((workspace / "killed" / "checkpoints").iterdir())
    resumed = metrics(workspace)
    assert len(resumed["epoch_loss"]) == EXACT.max_epochs
    np.testing.assert_allclose(resumed["epoch_loss"], alone["epoch_loss"], rtol=1e-4)
    for name, weight in weights(workspace).items():
        np.testing.assert_allclose(weight, alone["weights"][name], atol=2e-4, err_msg=name)


def test_torchrun_on_two_nodes_trains_as_one_process(
    workspace: Path, alone: dict[str, Any]
) -> None:
    port = free_port()
    rendezvous = ["--rdzv-backend=c10d", f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=fit"]
    torchrun = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", *rendezvous]
    nodes = [
        start(workspace, "nodes", torchrun, devices="1", num_nodes="2", strategy="ddp")
        for _ in range(2)
    ]
    for node in nodes:
        finish(node)
    np.testing.assert_allclose(metrics(workspace)["epoch_loss"], alone["epoch_loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("strategy", "chosen"),
    [
        ("fsdp", {"negatives": 15}),
        ("fsdp", {"loss": "gbce", "negatives": 15, "optimiser": "radam", "schedule": "linear"}),
        ("ddp", {"loss": "contrastive", "optimiser": "sgd", "learning_rate": 0.1}),
    ],
    ids=["sampled", "gbce-radam", "contrastive-sgd"],
)
def test_other_losses_and_optimisers_have_the_loss_curve_of_one_process(
    workspace: Path, tmp_path: Path, strategy: str, chosen: dict[str, Any]
) -> None:
    params = dataclasses.replace(EXACT, max_epochs=3, **chosen)
    write_params(workspace, params)
    finish(start(workspace, "both", devices="2", strategy=strategy))
    together, alone = metrics(workspace), train_alone(tmp_path / "alone", params)
    np.testing.assert_allclose(together["epoch_loss"], alone["epoch_loss"], rtol=1e-5)
    np.testing.assert_allclose(together["epoch_ndcg@10"], alone["epoch_ndcg@10"], atol=2e-3)
