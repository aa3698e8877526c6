"""`make serve` as its users meet it."""

import sys
from pathlib import Path

import pytest

from tests.serving.running import addresses, serving


@pytest.mark.slow
def test_serving_without_a_champion_answers_this_machine_alone(
    checkout: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "flows.serve"]
    with serving(command, checkout, tmp_path / "home", {}) as client:
        assert client.post("/status", json={}).json()["release"] is None
        assert addresses(client.base_url.port or 0) == {"127.0.0.1"}
