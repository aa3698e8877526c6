"""`make serve` as users run it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flows.serve import address, held
from tests.serving.running import addresses, kill_supervisor, serving, wait_until_free


@pytest.mark.slow
def test_serving_without_a_champion_answers_this_machine_alone_until_its_supervisor_is_gone(
    checkout: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "flows.serve"]
    with serving(command, checkout, tmp_path / "home", {}) as client:
        port = client.base_url.port or 0
        assert client.post("/status", json={}).json()["release"] is None
        assert addresses(port) == {"127.0.0.1"}
        second = subprocess.run(
            [*command, "--port", str(port)], cwd=checkout, capture_output=True, text=True
        )
        assert second.returncode == 1
        (line,) = second.stderr.splitlines()
        assert f"port {port} is held by process " in line
        kill_supervisor(client)
        wait_until_free(port)
        assert held("127.0.0.1", port) is None


def test_an_empty_secret_is_one_line(checkout: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "flows.serve"],
        cwd=checkout,
        env={**os.environ, "RONDO_SECRET": "", "RONDO_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert "set RONDO_SECRET" in line


def test_a_port_that_is_held_is_said_with_who_holds_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = held("127.0.0.1", port)
        assert told is not None
        assert f"port {port} is held by process " in told
        assert "\n" not in told
    assert held("127.0.0.1", port) is None


def test_an_address_of_another_machine_is_said() -> None:
    told = held("192.0.2.1", 3000)
    assert told is not None
    assert told.startswith("cannot listen on 192.0.2.1 port 3000")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ("127.0.0.1", 3000)),
        (["--port", "3001", "--host=0.0.0.0"], ("0.0.0.0", 3001)),
        (["--reload", "-p", "3002"], ("127.0.0.1", 3002)),
        (["--port", "many"], ("127.0.0.1", 3000)),
    ],
)
def test_the_address_is_the_one_that_bentoml_takes(
    arguments: list[str], expected: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENTOML_PORT", raising=False)
    monkeypatch.delenv("BENTOML_HOST", raising=False)
    assert address(arguments) == expected
    monkeypatch.setenv("BENTOML_PORT", "4000")
    assert address([])[1] == 4000
