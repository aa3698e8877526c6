"""Homes of installations that retrain in separate processes, which tests may kill."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
import yaml

from base.settings import Settings
from flows import environment, ingest
from flows.workspace import prepare
from serving import channels, release, verdicts
from serving.database import connect
from tests.flows.killed import NOW, OVERRIDES

#: A check that measures this machine, this time.
MEASURED = "release.latency"


@dataclass
class Home:
    """A separate state folder, with the world's history in its log.

    overrides: of params.yaml, on top of those of `killed`; steps: of the last run that came to its
    end.
    """

    root: Path
    checkout: Path
    variables: dict[str, str]
    now: int = NOW
    overrides: dict[str, Any] = field(default_factory=dict)
    steps: tuple[str, ...] = ()

    @cached_property
    def engine(self) -> sa.Engine:
        default = f"sqlite:///{self.root / 'rondo.db'}"
        return connect(self.variables.get("RONDO_DATABASE_URL", default))

    def retrain(self, last: str = "never") -> "subprocess.Popen[str]":
        """One that dies after step `last`."""
        command = [sys.executable, "-m", "tests.flows.killed", last, str(self.now)]
        return subprocess.Popen(
            [*command, json.dumps(self.overrides)],
            env={**os.environ, **self.variables},
            cwd=self.checkout,  # `python -m` imports flows from there
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def die_after(self, last: str) -> str:
        """Retrain; the step after which it was killed, or "" if it ran to the end."""
        process = self.retrain(last)
        output, _ = process.communicate(timeout=900)
        assert process.returncode in (0, -signal.SIGKILL), output[-3000:]
        self.wait_for_the_end_of_all()
        line = output.strip().splitlines()[-1]
        return line.removeprefix("killed after ") if process.returncode else ""

    def finish(self) -> str:
        """Run to the end; the release id."""
        process = self.retrain()
        output, _ = process.communicate(timeout=900)
        assert process.returncode == 0, output[-3000:]
        *_, steps, release = output.strip().splitlines()
        self.steps = tuple(steps.split()[1:])
        return release.split()[1]

    def command(self, *words: str) -> str:
        """What `rondo …` prints."""
        return self.python("-c", "from flows.cli import main; main()", *words)

    def python(self, *words: str) -> str:
        """What a Python process prints."""
        done = subprocess.run(
            [sys.executable, *words],
            env={**os.environ, **self.variables},
            cwd=self.checkout,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def state(self) -> dict[str, Any]:
        """Everything that must be the same no matter how often a run was killed."""
        records = verdicts.latest(self.engine)
        moves = channels.history(self.engine, "champion")
        data = self.root / "workspace" / "data"
        return {
            "champion": channels.read(self.engine, "champion"),
            # Parsed: stages that run side by side enter the lock as they end.
            "lock": yaml.safe_load((self.root / "workspace" / "dvc.lock").read_text()),
            "log": (data / "log.dvc").read_text(),
            "records": [(record.release, record.decision) for record in records],
            "evidence": {record.release: record.evidence for record in records},
            "checks": {record.release: checks(record) for record in records},
            "moves": [(move.generation, move.release) for move in moves],
            "releases": sorted(release.stored(str(self.root / "releases"))),
        }

    def wait_for_the_end_of_all(self, seconds: float = 5.0) -> None:
        """Wait until no process works in its workspace. A large process takes a moment to end."""
        deadline = time.monotonic() + seconds
        while self.processes():
            assert time.monotonic() < deadline, self.processes()
            time.sleep(0.05)

    def processes(self) -> list[psutil.Process]:
        """The processes that still work in its workspace."""
        found = []
        for process in psutil.process_iter():
            try:
                if str(self.root) in process.cwd():
                    found.append(process)
            except psutil.Error:
                continue
        return found


def checks(record: verdicts.ReleaseRecord) -> list[dict[str, Any]]:
    """The checks of a verdict, without values measured on this machine."""
    assert record.verdict is not None
    unstable = {"value": None, "reason": ""}
    return [c | unstable if c["name"] == MEASURED else c for c in record.verdict["checks"]]


@dataclass
class HomeMaker:
    """Makes homes with the history in their log and no release yet."""

    folders: pytest.TempPathFactory
    history: Path
    checkout: Path
    server: str
    homes: list[Home] = field(default_factory=list)

    def __call__(self, name: str) -> Home:
        root = self.folders.mktemp(name) / "home"
        settings = Settings(home=root)
        place = prepare(root / "workspace", self.checkout, settings.remote, OVERRIDES)
        variables = {**environment.variables(settings), "PREFECT_API_URL": self.server}
        home = Home(root, self.checkout, variables)
        ingest.ingest_log(home.engine, place, self.history)
        self.homes.append(home)
        return home
