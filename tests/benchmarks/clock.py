"""A clock that tests set."""

import time

import pytest


class Clock:
    """Seconds, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def move(self, seconds: float) -> None:
        self.now += seconds
