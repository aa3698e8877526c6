"""The accuracy benchmark at a small size: it learns, and it judges as defined."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.accuracy import judge, over_seeds
from benchmarks.sequences import leave_out, read
from tests.benchmarks.conftest import ITEMS
from training.transformer.model import STARTS, ModelConfig, Transformer
from training.transformer.scorer import encode


def test_each_query_is_judged_as_by_a_loop_over_all_items(ring: Path) -> None:
    sequences = read(ring)
    torch.manual_seed(0)
    model = Transformer(ModelConfig(ITEMS, 16, 1, 2, 10, 1)).eval()
    with torch.inference_mode():
        table = model.table(torch.zeros(ITEMS, 1), torch.arange(ITEMS))
    tail = leave_out(sequences, 1)[1]
    found = judge(model, table, tail, sequences.catalogue)
    scores = (encode(model, table, tail.histories, tail.timestamps) @ table[STARTS:].T).numpy()
    for user in range(0, len(tail), 7):
        target = int(tail.targets.items[user])
        begin, end = tail.histories.offsets[user : user + 2]
        seen = set(tail.histories.items[begin:end].tolist()) - {target}
        better = sum(
            scores[user, item] >= scores[user, target]
            for item in range(ITEMS)
            if item not in seen and item != target
        )
        expected = 1 / np.log2(better + 2) if better < 10 else 0.0
        assert found["ndcg@10"][user] == pytest.approx(expected)
        assert found["hr@10"][user] == float(better < 10)


@pytest.mark.slow
def test_a_ring_is_learned_and_the_report_says_so(
    ring: Path, tmp_path: Path, checkout: Path
) -> None:
    command = [
        sys.executable, "-m", "benchmarks.accuracy", "--data", str(ring), "--seeds", "2",
        "--length", "10", "--reports", str(tmp_path / "reports"), "--set", "size=tiny",
        "--set", "max_epochs=12", "--set", "batch_tokens=128", "--set", "dropout=0.0",
    ]  # fmt: skip
    subprocess.run(command, cwd=checkout, check=True, capture_output=True, text=True)
    report = json.loads((tmp_path / "reports" / "bench-accuracy.json").read_text())
    assert report["seeds"] == 2
    for name in ("ndcg@10", "hr@10"):
        assert len(report[name]["runs"]) == 2
        assert report[name]["low"] <= report[name]["mean"] <= report[name]["high"]
        assert report[name]["users"]["low"] <= report[name]["mean"]
    assert report["ndcg@10"]["mean"] > 0.9
    assert report["parameters"] > ITEMS * 64
    assert len(report["seconds_by_seed"]) == 2
    assert min(report["seconds_by_seed"]) <= report["seconds"] <= max(report["seconds_by_seed"])
    assert report["recipe"]["dropout"] == 0.0
    assert not list((tmp_path / "reports" / "checkpoints").iterdir())  # another run starts afresh


def test_an_unreadable_file_ends_in_one_line(tmp_path: Path, checkout: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.accuracy", "--data", str(tmp_path / "absent")]
    result = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("bench-accuracy: ")
    assert result.stderr.count("\n") == 1


def test_the_interval_over_seeds_is_students() -> None:
    found = over_seeds([0.18, 0.19, 0.20])
    assert found.mean == pytest.approx(0.19)
    assert found.high - found.mean == pytest.approx(4.3027 * 0.01 / np.sqrt(3), rel=1e-4)
    assert np.isnan(over_seeds([0.18]).low)
