"""Cut a source into waves, and send a wave, with hand-made tables."""

import asyncio
import json
from collections import Counter
from itertools import pairwise
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from base.settings import CLOCK_HEADER
from features.ingest import IngestError, Source
from features.schema import ITEM, SECOND, USER
from flows import ingest
from flows.loop.replay import Sent, publish, send
from flows.loop.waves import cut, first_moment, last_moment, moments_of
from flows.workspace import Workspace
from serving import catalogue_feed, feedback
from serving.feedback_log import FeedbackLog
from serving.models import CatalogueInput
from serving.signing import Signer

START = 1_700_000_000 * SECOND


def at(second: int) -> int:
    """µs of a second of the log."""
    return START + second * SECOND


NOW = at(10_000)


def source(
    times: list[int], rows: list[dict[str, Any]] | None = None, items: pa.Table | None = None
) -> Source:
    """A rating at each of `times`, and further `rows` of text as from a mapping."""
    events = [
        {
            "user_id": f"u{n % 3}",
            "item_id": f"i{n}",
            "event_type": "rating",
            "value": "4",
            "timestamp": time,
        }
        for n, time in enumerate(times)
    ]
    names = ["user_id", "item_id", "event_type", "value", "query", "timestamp"]
    table = pa.table({n: [row.get(n) for row in [*events, *(rows or [])]] for n in names})
    return Source(table, ITEM.empty_table() if items is None else items, USER.empty_table(), "test")


class Service:
    """The service's own checks and tables, without its process."""

    def __init__(self, engine: sa.Engine) -> None:
        self.log, self.engine = FeedbackLog(engine), engine

    def __call__(self, request: httpx.Request) -> httpx.Response:
        now, body = int(request.headers[CLOCK_HEADER]), json.loads(request.content)
        if request.url.path == "/catalogue":
            try:
                sent = CatalogueInput.model_validate(body)
            except ValueError:
                return httpx.Response(400)
            rows = [item.model_dump() | {"received_at": now} for item in sent.items]
            return httpx.Response(200, json={"changed": catalogue_feed.upsert(self.engine, rows)})
        rows, rejected = feedback.check(body["events"], Signer(b"key"), now)
        new = len(self.log.append(events=rows).events)
        reasons = [{"event_id": r.event_id, "reason": r.reason} for r in rejected]
        answer = {"accepted": new, "duplicates": len(rows) - new, "rejected": reasons}
        return httpx.Response(200, json=answer)


def sent_to(engine: sa.Engine, wave: pa.Table) -> Sent:
    async def go() -> Sent:
        transport = httpx.MockTransport(Service(engine))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            return await send(http, wave, lambda *_: None)

    return asyncio.run(go())


def published(engine: sa.Engine, items: pa.Table, now: int) -> Sent:
    transport = httpx.MockTransport(Service(engine))
    with httpx.Client(transport=transport, base_url="http://test") as http:
        return publish(http, items, now)


def test_waves_have_equal_counts_and_come_after_the_history() -> None:
    times = [at(n) for n in np.random.default_rng(1).permutation(1000).tolist()]
    waves = cut(source(times), NOW, waves=4, replayed=0.2)
    assert waves.history.events.num_rows == waves.past.num_rows == 800
    assert [wave.num_rows for wave in waves.waves] == [50, 50, 50, 50]
    for earlier, later in pairwise([waves.past, *waves.waves]):
        assert last_moment(earlier) < first_moment(later)


def test_a_moment_is_never_cut_in_two() -> None:
    times = [at(n // 10) for n in range(200)]
    waves = cut(source(times), NOW, waves=3, replayed=0.2)
    parts = [waves.past, *waves.waves]
    assert sum(part.num_rows for part in parts) == 200
    for part in parts:
        _, counts = np.unique(moments_of(part, "timestamp"), return_counts=True)
        assert set(counts) <= {10}


def test_waves_that_would_be_empty_are_left_out() -> None:
    times = [at(n // 50) for n in range(200)]
    waves = cut(source(times), NOW)
    assert [wave.num_rows for wave in waves.waves] == [50]
    assert waves.past.num_rows == 150


def test_too_few_usable_events_are_an_error_that_says_why() -> None:
    bad = [{"user_id": "u", "item_id": "i", "event_type": "glance", "timestamp": 1}] * 5
    with pytest.raises(IngestError, match=r"1 usable .* 5 rows quarantined: unknown event_type"):
        cut(source([at(1)], bad), NOW)


DIRTY: list[tuple[dict[str, Any], str]] = [
    ({"event_type": "view", "timestamp": None}, "timestamp is missing or not a time"),
    ({"event_type": "rating", "value": "four"}, "value is not a finite number"),
    ({"event_type": "rating", "value": "nan"}, "value is not a finite number"),
    ({"event_type": "glance"}, "unknown event_type 'glance'"),
    ({"event_type": "view", "user_id": " "}, "user_id is missing"),
    ({"event_type": "view", "timestamp": NOW * 2}, "timestamp is in the future"),
]


def dirty() -> Source:
    """100 good ratings and, at their end, dirty rows, a duplicate and rows to be normalised."""
    last = {"user_id": "u0", "item_id": "i0", "timestamp": at(99)}
    rows = [last | changes for changes, _ in DIRTY]
    rows += [last | {"event_type": "view"}] * 2
    rows.append(last | {"event_type": " Purchase ", "user_id": " u0 ", "value": " 12.5 "})
    return source([at(n) for n in range(100)], rows)


def test_every_row_is_stored_replayed_or_quarantined_for_its_reason(
    engine: sa.Engine, workspace: Workspace
) -> None:
    raw = dirty()
    waves = cut(raw, NOW)
    stored = ingest.ingest_source(engine, workspace, waves.history, last_moment(waves.past))
    assert stored.events == waves.past.num_rows
    assert stored.quarantined == len(DIRTY) + 1
    replayed = sum(wave.num_rows for wave in waves.waves)
    assert stored.events + stored.quarantined + replayed == raw.events.num_rows
    files = sorted(workspace.log.glob("quarantine/events/*.parquet"))
    kept = pa.concat_tables([pq.read_table(file) for file in files])
    expected = Counter([reason for _, reason in DIRTY] + ["duplicate"])
    assert Counter(kept["reason"].to_pylist()) == expected
    assert "four" in "".join(kept["raw"].to_pylist())


def test_a_wave_of_dirty_data_is_sent_whole(engine: sa.Engine) -> None:
    wave = cut(dirty(), NOW).waves[-1]
    assert {"view", "purchase", "rating"} == set(wave["event_type"].to_pylist())
    sent = sent_to(engine, wave)
    assert (sent.accepted, sent.duplicates, sent.rejected) == (wave.num_rows, 0, Counter())
    assert str(sent) == f"{wave.num_rows} sent, {wave.num_rows} stored"
    log = FeedbackLog(engine).read(0, 1000).to_pylist()
    assert {row["value"] for row in log if row["event_type"] == "purchase"} == {12.5}
    assert {row["user_id"] for row in log} <= {"u0", "u1", "u2"}
    assert all(row["received_at"] == row["timestamp"] for row in log)


def test_what_happens_in_one_second_stays_distinct_and_a_search_keeps_its_query(
    engine: sa.Engine,
) -> None:
    said = {"user_id": "u0", "item_id": "i0", "timestamp": at(99)}
    rows = [said | {"event_type": kind} for kind in ("view", "cart", "purchase")]
    rows += [said | {"event_type": "search", "item_id": None, "query": "red shoes"}]
    wave = cut(source([at(n) for n in range(96)], rows), NOW, waves=1, replayed=0.04).waves[0]
    assert wave.num_rows == 4
    assert sent_to(engine, wave).accepted == 4
    log = FeedbackLog(engine).read(0, 10)
    assert set(log["event_id"].to_pylist()) == set(wave["event_id"].to_pylist())
    assert "red shoes" in log["query"].to_pylist()


def test_what_the_service_does_not_take_is_said(engine: sa.Engine) -> None:
    said = {"user_id": "u0", "item_id": "i0", "timestamp": at(99)}
    rows = [said | {"event_type": kind} for kind in ("view", "impression")]
    wave = cut(source([at(n) for n in range(98)], rows), NOW, waves=1, replayed=0.02).waves[0]
    assert sent_to(engine, wave).accepted == 1
    again = sent_to(engine, wave)
    assert (again.accepted, again.duplicates, again.total) == (0, 1, 2)
    assert "1 known already, 1 rejected:" in str(again)
    assert "impressions are logged by the service" in str(again)


def test_items_are_published_when_they_become_known(
    engine: sa.Engine, workspace: Workspace
) -> None:
    times = [at(n) for n in range(100)]  # waves of 10 from second 80 and from second 90
    versions = [("old", 0, "old"), ("at start", 80, None), ("new", 85, None), ("old", 85, "tagged")]
    versions += [("new", 95, "tagged"), ("last", 93, None), ("after", 200, None)]
    items = pa.Table.from_pylist(
        [
            {
                "item_id": item_id,
                "description": text,
                "available": True,
                "created_at": None if text else at(second),
                "received_at": at(second),
            }
            for item_id, second, text in versions
        ],
        schema=ITEM,
    )
    waves = cut(source(times, items=items), NOW, waves=2)
    named = [
        list(zip(t["item_id"].to_pylist(), t["description"].to_pylist(), strict=True))
        for t in waves.items
    ]
    assert waves.history.items["item_id"].to_pylist() == ["old"]
    assert named == [
        [("at start", None), ("new", None)],
        [("old", "tagged"), ("last", None)],
        [("new", "tagged"), ("after", None)],
    ]
    stored = ingest.ingest_source(engine, workspace, waves.history, last_moment(waves.past))
    assert (stored.items, stored.quarantined) == (1, 0)
    for wave, versions_of in zip(waves.waves, waves.items, strict=False):
        now = first_moment(wave)
        assert published(engine, versions_of, now).accepted == 2
    feed = catalogue_feed.read(engine, 0).to_pylist()
    assert [row["item_id"] for row in feed] == ["at start", "new", "old", "last"]


def test_a_new_item_is_hidden_until_it_is_known() -> None:
    items = pa.Table.from_pylist(
        [
            {"item_id": "new", "available": True, "received_at": at(95)},
            {"item_id": "after", "available": True, "received_at": at(200)},
        ],
        schema=ITEM,
    )
    waves = cut(source([at(n) for n in range(100)], items=items), NOW, waves=2)
    assert moments_of(waves.items[1], "created_at").tolist() == [at(95)]
    assert moments_of(waves.items[2], "created_at").tolist() == [at(200)]


def test_an_item_that_the_service_refuses_does_not_stop_the_others(engine: sa.Engine) -> None:
    rows = [{"item_id": f"i{n}", "available": True, "received_at": SECOND} for n in range(5)]
    rows[3]["item_id"] = "bad\x07id"
    sent = published(engine, pa.Table.from_pylist(rows, schema=ITEM), SECOND)
    assert (sent.accepted, sent.rejected.total(), sent.total) == (4, 1, 5)
    assert "bad" in str(sent)
