"""Data that are not what they seem: what reaches training, and what the verdict says."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base.params import build
from features.ingest import IngestError, IngestParams, read_source
from features.ingest.log_store import store_events
from features.schema import HOUR, SECOND
from features.splits.split import split
from features.splits.windowing import SplitParams
from flows import arrivals
from flows.consumers import LOG_ROWS
from flows.source_columns import source_columns
from flows.workspace import Workspace
from serving import feedback, offsets
from serving.feedback_log import FeedbackLog
from serving.signing import Signer
from tests.features.logs import START, at, event, item, write_log
from tests.flows.rivals import ITEMS, TODAY, Rivals, market_events
from tests.planted.runs import (
    WARNINGS,
    Installation,
    Tally,
    against,
    copy,
    prepare,
    release,
)
from training.thresholds import GateParams

pytestmark = [pytest.mark.slow, *WARNINGS]

Rows = list[dict[str, Any]]


def market_items(**columns: Any) -> Rows:
    return [item(f"i{n}", created_at=START, **columns) for n in range(ITEMS)]


def logged(installation: Installation, place: Workspace, *exports: tuple[Rows, Rows]) -> Workspace:
    """`place` with these exports of events and items as its log, of which the last retrain saw all
    but the last one; split, and its release made with the same models."""
    log, first = place.root / "data" / "log", 0
    for old in log.rglob("*.parquet"):
        old.unlink()
    engine = installation.rollout.engine
    for events, items in exports:
        alike = source_columns(engine, log, GateParams()).passed is True
        offsets.advance(engine, arrivals.learned(engine, alike))
        write_log(log, events, items, first)
        first += len(events) + len(items)
        offsets.advance(engine, {LOG_ROWS: first})
    prepare(place)
    release(place)
    return place


@pytest.fixture
def place(rivals: Rivals, tmp_path: Path) -> Workspace:
    return copy(rivals.equal, tmp_path / "place")


def since(day: float) -> tuple[Rows, Rows]:
    """The events of the market before and from this day on."""
    events = market_events(TODAY)
    cut = at(0, 24 * day)
    return [e for e in events if e["timestamp"] < cut], [e for e in events if e["timestamp"] >= cut]


def test_two_exports_without_a_fault_are_promoted(
    installation: Installation, place: Workspace
) -> None:
    old, new = since(5)
    again = market_items(received_at=at(6), price=2.2)
    logged(installation, place, (old, market_items(price=2.0)), (new, again))
    judgement = installation.judge(place)
    assert judgement.verdict.decision == "promote", judgement.verdict.reasons


def test_half_of_the_catalogue_is_missing_from_an_export(
    installation: Installation, place: Workspace, tally: Tally
) -> None:
    gone = [item(f"i{n}", at(6), created_at=START, available=False) for n in range(0, ITEMS, 2)]
    old, new = since(5)
    logged(installation, place, (old, market_items()), (new, gone))
    judgement = installation.judge(place)
    tally.verdict("half the catalogue missing", judgement, "data.gone_share", "0.5, must be")
    assert "data.gone_share" in against(judgement)


def test_a_price_in_cents(installation: Installation, place: Workspace, tally: Tally) -> None:
    old, new = since(5)
    cents = market_items(received_at=at(6), price=220.0)
    logged(installation, place, (old, market_items(price=2.0)), (new, cents))
    judgement = installation.judge(place)
    words = f"the price of {ITEMS} items is 110 times what it was"
    tally.verdict("schema change in a source column", judgement, "data.columns", words)
    assert against(judgement) == ["data.columns"]


def test_a_price_that_stays_in_cents_is_held_again(
    installation: Installation, place: Workspace
) -> None:
    (old, later), (middle, new) = since(5), since(5.5)
    middle = [event for event in middle if event in later]
    cents = [market_items(received_at=at(5, hour), price=220.0) for hour in (11, 24)]
    logged(installation, place, (old, market_items(price=2.0)), (middle, cents[0]), (new, cents[1]))
    assert against(installation.judge(place)) == ["data.columns"]


def test_a_renamed_column_is_refused_and_times_in_another_unit_are_read_as_they_are(
    tmp_path: Path,
) -> None:
    mapping = build(
        IngestParams,
        "ingest",
        {
            "mapping": {
                "events": {
                    "columns": {"user_id": "customer", "item_id": "sku", "timestamp": "at"},
                    "constants": {"event_type": "click"},
                }
            }
        },
    ).mapping
    export = tmp_path / "export.csv"
    times = []
    for unit in (1, 1000):
        export.write_text(f"customer,sku,at\nu1,i1,{START // SECOND * unit}\n")
        events = read_source(export, mapping).events
        store_events(events, tmp_path / str(unit), 0, at(1))
        (stored,) = (tmp_path / str(unit)).rglob("part-*.parquet")
        times.append(pq.read_table(stored)["timestamp"].cast(pa.int64()).to_pylist())
    assert times == [[START], [START]]
    export.write_text("client,sku,at\nu1,i1,1704067200\n")
    with pytest.raises(IngestError, match="customer"):
        read_source(export, mapping)


def test_a_day_on_which_no_event_was_collected(
    installation: Installation, place: Workspace, tally: Tally
) -> None:
    (old, _), (_, new) = since(5), since(6)
    logged(installation, place, (old, market_items()), (new, []))
    judgement = installation.judge(place)
    tally.verdict("empty day", judgement, "data.quietest_day", "0, must be")
    assert against(judgement) == ["data.quietest_day"]


def slates(hours: float) -> Rows:
    """300 slates of the last day, each with one click, by a clock that is so many hours off."""
    rows = []
    for number in range(300):
        user, time = f"u{number % 100}", at(6, 1 + number / 20)
        for position in range(3):
            slot = {"request_id": f"r{number}", "position": position, "propensity": 0.3}
            shown = f"i{(number + position) % ITEMS}"
            rows.append(
                event(f"r{number}:{position}", user, shown, time, event_type="impression", **slot)
            )
        clicked = round(time + SECOND + hours * HOUR)
        rows.append(event(f"c{number}", user, shown, clicked, received_at=time + SECOND, **slot))
    return rows


@pytest.mark.parametrize("hours", [0.0, -3.0])
def test_clients_whose_clocks_are_slow(
    installation: Installation, place: Workspace, tally: Tally, hours: float
) -> None:
    """Their clicks would not be joined to the slates."""
    old, new = since(5)
    logged(installation, place, (old, market_items()), (new + slates(hours), []))
    judgement = installation.judge(place)
    if hours == 0.0:
        assert judgement.verdict.decision == "promote", judgement.verdict.reasons
    else:
        tally.verdict("clock skew", judgement, "data.early_share", "1, must be", "a clock is wrong")
        assert against(judgement) == ["data.early_share"]


def test_a_client_whose_clock_is_fast_is_refused_at_the_door() -> None:
    sent = [
        {"event_id": f"e{n}", "user_id": "u", "item_id": "i1", "event_type": "click",
         "timestamp": at(6) + round(n * HOUR)}
        for n in (0, 5)
    ]  # fmt: skip
    rows, refused = feedback.check(sent, Signer(b"k"), at(6))
    assert [row["event_id"] for row in rows] == ["e0"]
    assert [(r.event_id, r.reason) for r in refused] == [("e5", "timestamp is in the future")]


def test_feedback_sent_twice_has_no_effect(
    installation: Installation, tmp_path: Path, tally: Tally
) -> None:
    """Once with the same ids, and once with others, by way of the feedback database."""
    feed = FeedbackLog(installation.rollout.engine)
    events = market_events(1)
    feed.append(events=events)
    assert not feed.append(events=events).events, "the same ids are stored once"
    again = [e | {"event_id": f"again-{e['event_id']}"} for e in events]
    split_into = {}
    for name, sent in (("once", []), ("twice", again)):
        feed.append(events=sent)
        log = tmp_path / name
        write_log(log, [], market_items())
        rows = feed.read(0, 10**6).drop_columns("offset")
        report = store_events(rows, log, ITEMS, at(TODAY))
        assert report.stored == len(events) + len(sent)
        out = tmp_path / f"{name}-split"
        out.mkdir()
        split(log, out, SplitParams(min_targets=40, rank_days=0.2, judge_days=0.2), False)
        split_into[name] = {
            path.name: path.read_bytes() if path.suffix == ".json" else pq.read_table(path)
            for path in out.iterdir()
        }
    assert len(split_into["once"]["events.parquet"]) == len(events)
    assert split_into["once"] == split_into["twice"]
    tally.count("duplicated feedback")
