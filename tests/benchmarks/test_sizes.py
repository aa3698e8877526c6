"""The benchmark of sizes in small, on this processor."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


def benchmark(checkout: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "benchmarks.sizes", *arguments]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_size_is_timed_against_the_rate_of_products(
    tmp_path: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RONDO_TRAIN_PRECISION", "32-true")
    done = benchmark(
        checkout, "--sizes", "tiny", "small", "--events", "3e4", "--catalogue", "500",
        "--steps", "3", "--set", "batch_tokens=1024", "--set", "max_length=20",
        "--reports", str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tiny, small = json.loads((tmp_path / "bench-sizes.json").read_text())["sizes"]
    assert [point["size"] for point in (tiny, small)] == ["tiny", "small"]
    for point in (tiny, small):
        assert (point["steps"], point["precision"]) == (3, "float32")
        assert 0 < point["share_of_matmul_rate"] < 1
        tokens = point["tokens_per_second"] * point["seconds_per_step"] * point["steps"]
        assert 3 * 500 < tokens <= 3 * 1024
        expected = point["tokens_per_second"] * point["flops_per_token"] / 1e12
        assert point["tflops_per_second"] == pytest.approx(expected)
    assert small["flops_per_token"] > 2 * tiny["flops_per_token"]
    assert "matrix product: " in done.stdout


def test_a_wrong_setting_is_one_line(checkout: Path) -> None:
    done = benchmark(checkout, "--set", "dropout")
    assert done.returncode == 1
    assert done.stderr == "bench-sizes: --set dropout: not of the form KEY=VALUE\n"
