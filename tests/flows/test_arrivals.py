"""The data gate's shares count what came in since the data of the last retrain."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from features.schema import DAY, HOUR
from flows import arrivals, ingest
from flows.workspace import Workspace
from serving import offsets
from serving.feedback_log import FeedbackLog
from training.thresholds import GateParams

NOON = 19_800 * DAY + 12 * HOUR
HEADER = "event_id,user_id,item_id,event_type,timestamp,request_id\n"


def line(number: int, kind: str = "view", request: str = "", timestamp: int = NOON) -> str:
    return f"e{number},u{number % 3},i{number},{kind},{timestamp + number},{request}\n"


class Installation:
    """A log that files are imported into and that retrains learn from."""

    def __init__(self, engine: sa.Engine, workspace: Workspace, folder: Path) -> None:
        self.engine, self.workspace, self.folder = engine, workspace, folder

    def bring(self, *lines: str) -> ingest.Ingested:
        source = self.folder / "export.csv"
        source.write_text(HEADER + "".join(lines))
        return ingest.ingest_source(self.engine, self.workspace, source, NOON + 100 * DAY)

    def shares(self) -> dict[str, float]:
        return arrivals.shares(self.engine, self.workspace.log, join_days=7)

    def retrained(self) -> None:
        """Do what a retrain does at its end, as if columns were filled as before."""
        alike = self.shares()["quietest_day"] >= GateParams().min_quietest_day
        offsets.advance(self.engine, arrivals.learned(self.engine, alike))


@pytest.fixture
def installation(engine: sa.Engine, workspace: Workspace, tmp_path: Path) -> Installation:
    return Installation(engine, workspace, tmp_path)


def test_an_export_that_grows_is_imported_time_after_time_without_a_fault(
    installation: Installation,
) -> None:
    lines: list[str] = []
    for day in range(5):
        lines += [line(100 * day + number) for number in range(20)]
        told = installation.bring(*lines)
        assert (told.events, told.duplicates) == (20, 20 * day)
        assert installation.shares()["quarantine_share"] == 0.0
        installation.retrained()


def test_what_an_export_holds_wrong_is_a_fault_once(installation: Installation) -> None:
    """Each import of it refuses the row with its reason."""
    lines: list[str] = []
    for day in range(4):
        lines += [line(100 * day + number) for number in range(4)]
        lines += [line(100 * day + 50 + number, "dance") for number in range(2)]
        told = installation.bring(*lines)
        assert (told.events, told.duplicates) == (4, 4 * day)
        assert told.quarantined - told.duplicates == 2 * (day + 1)
        assert installation.shares()["quarantine_share"] == pytest.approx(2 / 6)
        installation.bring(*lines)  # twice before the retrain
        assert installation.shares()["quarantine_share"] == pytest.approx(2 / 6)
        installation.retrained()


def test_a_bad_batch_is_seen_however_much_good_came_before(installation: Installation) -> None:
    installation.bring(*(line(number) for number in range(200)))
    installation.retrained()
    installation.bring(line(300), *(line(number, "dance") for number in range(301, 304)))
    assert installation.shares()["quarantine_share"] == pytest.approx(3 / 4)


def test_a_retrain_on_unchanged_data_sees_the_same_shares_again(installation: Installation) -> None:
    """A release held because of a bad batch is not promoted by asking again."""
    installation.bring(line(1))
    installation.retrained()
    installation.bring(line(2), line(3, "dance"))
    for _ in range(3):
        assert installation.shares()["quarantine_share"] == pytest.approx(1 / 2)
        installation.retrained()
    installation.bring(line(4))
    assert installation.shares()["quarantine_share"] == 0.0


def test_nothing_at_all_has_no_faults(installation: Installation) -> None:
    assert installation.shares() == {
        "quarantine_share": 0.0,
        "unjoined_share": 0.0,
        "early_share": 0.0,
        "quietest_day": 1.0,
    }


def test_an_answer_without_its_slate_is_unjoined_until_the_next_retrain(
    installation: Installation,
) -> None:
    installation.bring(
        line(1, "impression", "a"), line(2, "click", "a"), line(3, "click", "lost"), line(4)
    )
    assert installation.shares()["unjoined_share"] == pytest.approx(1 / 2)
    installation.retrained()
    installation.bring(line(5, "impression", "b"), line(6, "click", "b"))
    assert installation.shares()["unjoined_share"] == 0.0


def test_a_slate_that_an_earlier_retrain_saw_is_found_by_its_day(
    installation: Installation,
) -> None:
    installation.bring(line(1, "impression", "a"), line(2, "impression", "old", NOON - 60 * DAY))
    installation.retrained()
    installation.bring(line(3, "click", "a", NOON + DAY), line(4, "click", "old"))
    assert installation.shares()["unjoined_share"] == pytest.approx(1 / 2)


def test_an_answer_before_its_slate_is_early(installation: Installation) -> None:
    installation.bring(
        line(1, "impression", "a"), line(2, "click", "a"),
        line(3, "impression", "b"), line(4, "click", "b", NOON - 3 * HOUR),
    )  # fmt: skip
    assert installation.shares()["early_share"] == pytest.approx(1 / 2)
    installation.retrained()
    installation.bring(line(5, "impression", "c"), line(6, "click", "c"), line(7, "click", "b"))
    assert installation.shares()["early_share"] == 0.0


def days_of(*days: int) -> list[str]:
    """120 events on each day after NOON."""
    return [line(1000 * day + n, timestamp=NOON + day * DAY) for day in days for n in range(120)]


@pytest.mark.parametrize(
    ("days", "expected"), [((4, 5), 1.0), ((4, 6), 0.0), ((5, 6), 0.0), ((4, 5, 6), 1.0)]
)
def test_a_day_without_events_between_full_ones_is_told(
    installation: Installation, days: tuple[int, ...], expected: float
) -> None:
    installation.bring(*days_of(0, 1, 2, 3))
    installation.retrained()
    installation.bring(*days_of(*days))
    assert installation.shares()["quietest_day"] == expected


def test_days_without_events_do_not_become_normal(installation: Installation) -> None:
    """The second retrain sees another gap and tells it; the third sees full days."""
    installation.bring(*days_of(0, 1, 2, 3))
    installation.retrained()
    for days, expected in ([(4, 6), 0.0], [(7, 9), 0.0], [(10, 11, 12), 1.0], [(13, 15), 0.0]):
        installation.bring(*days_of(*days))
        assert installation.shares()["quietest_day"] == expected
        installation.retrained()


def test_asking_again_on_the_same_day_does_not_excuse_a_day_without_events(
    installation: Installation,
) -> None:
    """What follows is no whole day yet, so it cannot show that events are collected again."""
    installation.bring(*days_of(0, 1, 2, 3))
    installation.retrained()
    installation.bring(*days_of(4, 6))
    installation.retrained()
    for again in range(2):
        installation.bring(line(6500 + again, timestamp=NOON + 6 * DAY))
        assert installation.shares()["quietest_day"] == 0.0
        installation.retrained()
    installation.bring(*days_of(7))
    assert installation.shares()["quietest_day"] > 1.0


def test_where_days_are_thin_an_empty_one_says_nothing(installation: Installation) -> None:
    installation.bring(*days_of(0, 1, 3), line(1, timestamp=NOON + 2 * DAY))
    installation.retrained()
    installation.bring(*days_of(4, 6))
    assert installation.shares()["quietest_day"] == 1.0


def test_only_what_is_new_is_read(installation: Installation) -> None:
    for day in range(5):
        installation.bring(line(day, timestamp=NOON + day * DAY), line(50 + day, "dance"))
        installation.retrained()
    learned = set(installation.workspace.log.rglob("part-*.parquet"))
    installation.bring(line(9, timestamp=NOON + 5 * DAY))
    for part in learned:
        part.unlink()
        part.write_text("who reads this fails")
    assert installation.shares()["quarantine_share"] == 0.0


def test_feedback_counts_with_what_was_imported(
    installation: Installation, engine: sa.Engine, workspace: Workspace
) -> None:
    installation.bring(line(1, "dance"))
    columns = ("event_id", "user_id", "item_id", "event_type", "timestamp", "received_at")
    row = ("x", "u", "i", "view", NOON, NOON)
    FeedbackLog(engine).append(events=[dict(zip(columns, row, strict=True))])
    ingest.ingest_feedback.fn(engine, workspace, None)
    assert installation.shares()["quarantine_share"] == pytest.approx(1 / 2)
