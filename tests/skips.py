"""Report skipped tests in the last lines, and fail if the machine could have run them."""

import os
from collections.abc import Generator
from typing import Final

import pytest

ABSENT: Final = "this machine has no "
STRICT: Final = "RONDO_TEST_STRICT"


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter,
) -> Generator[None, None, None]:
    """At the end, print each skip with its reason, and how many tests the markers left out."""
    yield
    for name, reason in skips(terminalreporter):
        terminalreporter.write_line(f"skipped: {name}: {reason}")
    if left_out := len(terminalreporter.stats.get("deselected", [])):
        terminalreporter.write_line(
            f"not chosen: {left_out} tests (slow, or of servers; .ci/run runs all)"
        )
    if wrong := forgotten(terminalreporter):
        terminalreporter.write_line(f"{STRICT}: this machine could run {', '.join(wrong)}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if a test was skipped that could have run."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and forgotten(reporter) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def skips(reporter: pytest.TerminalReporter) -> list[tuple[str, str]]:
    """Names and reasons of the skipped tests, or of modules that were skipped whole."""
    found = []
    for report in reporter.stats.get("skipped", []):
        place = report.longrepr
        reason = place[2] if isinstance(place, tuple) else str(place)
        found.append((report.nodeid, reason.removeprefix("Skipped: ")))
    return found


def forgotten(reporter: pytest.TerminalReporter) -> list[str]:
    """Names of the tests that should have run, if this check was requested."""
    if os.environ.get(STRICT) != "1":
        return []
    return [name for name, reason in skips(reporter) if not reason.startswith(ABSENT)]
