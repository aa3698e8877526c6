"""`rondo canary`: what it says, and errors of one line."""

from features.schema import DAY
from flows.rollout import Rollout
from serving import canaries
from tests.flows.test_cli import rollout as rollout
from tests.flows.test_cli import rondo

NOW = 19_800 * DAY


def test_a_canary_is_started_shown_and_stopped(rollout: Rollout) -> None:
    home = rollout.settings.root
    assert "canary      none is running" in rondo(home, "canary").stdout
    canaries.start(rollout.engine, "canary", "aa" * 32, "bb" * 32, 0.2, now=NOW)
    told = "canary      aaaaaaaaaaaa for 20% of users since 2024-03-18 00:00, against bbbbbbbbbbbb"
    assert told in rondo(home, "status").stdout
    shown = rondo(home, "canary", "show").stdout
    assert told in shown
    assert "0 users in the control, 0 in the canary" in shown
    stopped = rondo(home, "canary", "stop", "--reason", "a holiday").stdout
    assert stopped == "canary      aaaaaaaaaaaa stopped: a holiday\n"
    assert "canary 1    aaaaaaaaaaaa stopped: a holiday" in rondo(home, "canary").stdout


def test_what_cannot_be_is_one_line(rollout: Rollout) -> None:
    home = rollout.settings.root
    for arguments, line in (
        (["start", "bb" * 6], "is the champion"),
        (["start", "aa" * 6], "defines features differently"),
        (["stop", "--shadow"], "no shadow is running"),
    ):
        result = rondo(home, "canary", *arguments)
        assert result.returncode == 1, arguments
        assert result.stderr.startswith("rondo: ")
        assert line in result.stderr
        assert "Traceback" not in result.stderr
