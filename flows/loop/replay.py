"""A run on real data: most of it is history, the rest is replayed in waves through the service.

The last 20 % of the usable events are replayed in 6 waves of equal size (a calendar day of
MovieLens would be too small). Each release is judged on the next wave. Histories hold events with
strictly earlier timestamps. Events of one user in one second are one set of targets. There are at
most 5 queries per user.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from base.params import load
from base.processes import Supervised
from base.settings import CLOCK_HEADER
from features.ingest import IngestParams, read_source
from features.splits.windowing import SplitParams
from flows import ingest
from flows.lease import wall_clock
from flows.loop.console import Advance
from flows.loop.report import number as shown
from flows.loop.run import Run
from flows.loop.wave_judging import (
    METRICS,
    SYSTEMS,
    History,
    WaveJudged,
    judge_wave,
    pooled,
    wave_queries,
)
from flows.loop.waves import Waves, cut, first_moment, last_moment
from flows.workspace import Workspace

CONCURRENCY: Final = 16
BATCH: Final = 500
#: The fields that a client may send with an event. The service sets all others.
FIELDS: Final = (
    "event_id", "user_id", "item_id", "event_type", "value", "query", "timestamp", "placement",
)  # fmt: skip


@dataclass
class Sent:
    """Counts from the service's answers to what was sent. rejected: by reason."""

    accepted: int = 0
    duplicates: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> int:
        return self.accepted + self.duplicates + self.rejected.total()

    def __str__(self) -> str:
        parts = [f"{self.total} sent", f"{self.accepted} stored"]
        parts += [f"{self.duplicates} known already"] if self.duplicates else []
        parts += [f"{count} rejected: {reason}" for reason, count in self.rejected.most_common(3)]
        return ", ".join(parts)


def replay(run: Run) -> None:
    """Train on the history; then judge, replay and retrain, wave by wave."""
    plan = run.plan
    place = run.workspace(plan.overrides)
    waves = _ingest(run, place)
    rules = load(SplitParams, "split", place.root / "params.yaml")
    run.wait_for_prefect()
    with run.serving() as service:
        first = run.retrain("first release", plan.overrides, last_moment(waves.past))
        history, judged = History.of(waves.past, rules.min_rating), []
        for number, wave in enumerate(waves.waves, start=1):
            _publish(run, service, waves.items[number - 1], first_moment(wave), f"wave {number}")
            run.wait_until_in_step(service)
            judged.append(_judge(run, history, wave, first.release, number))
            _replay(run, wave, number)
            history = history.extended(wave)
            if number < len(waves.waves):
                run.retrain(f"wave {number}", plan.overrides, last_moment(wave))
        _publish(run, service, waves.items[-1], last_moment(waves.waves[-1]), "the rest")
        run.wait_until_in_step(service)
    for metric in METRICS:
        run.totals[metric] = pooled(judged, metric, plan.seed, run.confidence)
        for name, value in run.totals[metric].items():
            run.console.line(f"all waves {metric} {name.replace('_', ' ')}: {shown(value)}", 1)


def publish(http: httpx.Client, items: pa.Table, now: int) -> Sent:
    """Send item versions to the catalogue at `now`, µs. Refused ones are left out and reported."""
    sent = Sent()
    rows = _rows(items.drop_columns("received_at"), ("created_at",))

    def post(batch: list[dict[str, Any]]) -> None:
        answer = http.post("/catalogue", json={"items": batch}, headers={CLOCK_HEADER: str(now)})
        if answer.is_client_error and len(batch) > 1:
            middle = len(batch) // 2
            post(batch[:middle])
            post(batch[middle:])
        elif answer.is_client_error:
            sent.rejected[f"item '{batch[0]['item_id']}' is not what the service takes"] += 1
        else:
            changed = answer.raise_for_status().json()["changed"]
            sent.accepted += changed
            sent.duplicates += len(batch) - changed

    for first in range(0, len(rows), BATCH):
        post(rows[first : first + BATCH])
    return sent


async def send(http: httpx.AsyncClient, wave: pa.Table, advance: Advance) -> Sent:
    """Send every event at its own time: users in parallel, each user's events in order.

    Raises RuntimeError if the service's counts do not add up to the events sent.
    """
    users = wave["user_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    by_user = wave.take(np.argsort(users, kind="stable"))
    ends = np.cumsum(np.bincount(users))
    sent, gate = Sent(), asyncio.Semaphore(CONCURRENCY)

    async def post(events: list[dict[str, Any]], moment: int) -> None:
        answer = await http.post(
            "/feedback", json={"events": events}, headers={CLOCK_HEADER: str(moment)}
        )
        said = answer.raise_for_status().json()
        sent.accepted += said["accepted"]
        sent.duplicates += said["duplicates"]
        sent.rejected.update(event["reason"] for event in said["rejected"])
        advance(sent.total, wave.num_rows)

    async def play(own: pa.Table) -> None:
        async with gate:
            moments: dict[int, list[dict[str, Any]]] = {}
            times = own["timestamp"].cast(pa.int64()).to_pylist()
            for row, moment in zip(_rows(own.select(FIELDS), ("timestamp",)), times, strict=True):
                event = {name: value for name, value in row.items() if value is not None}
                moments.setdefault(moment, []).append(event)
            for moment, events in moments.items():
                for first in range(0, len(events), BATCH):
                    await post(events[first : first + BATCH], moment)

    async with asyncio.TaskGroup() as group:
        for start, end in pairwise([0, *ends.tolist()]):
            group.create_task(play(by_user.slice(start, end - start)))
    if sent.total != wave.num_rows:
        raise RuntimeError(f"of {wave.num_rows} events sent, the service counted {sent.total}")
    return sent


def _ingest(run: Run, place: Workspace) -> Waves:
    assert run.plan.data is not None
    with run.console.step("ingest", "ingest") as step:
        params = load(IngestParams, "ingest", place.root / "params.yaml")
        source = read_source(run.plan.data, params.mapping)
        waves = cut(source, wall_clock(), run.plan.waves)
        start = last_moment(waves.past)
        stored = ingest.ingest_source(run.rollout.engine, place, waves.history, start)
        events, items = (sum(t.num_rows for t in tables) for tables in (waves.waves, waves.items))
        step.text = (
            f"{source.events.num_rows} events and {source.items.num_rows} items of {source.kind}: "
            f"{stored.events} and {stored.items} stored, {events} and {items} to come in "
            f"{len(waves.waves)} waves, {stored.quarantined} quarantined; "
            f"data version {stored.version[:12]}"
        )
    return waves


def _publish(run: Run, service: Supervised, items: pa.Table, now: int, label: str) -> None:
    """Send the item versions that became known since the last wave."""
    if items.num_rows == 0:
        return
    run.wait_until_in_step(service)
    with (
        run.console.step("catalogue", label) as step,
        httpx.Client(base_url=run.url, timeout=60.0) as http,
    ):
        step.text = f"item versions: {publish(http, items, now)}"


def _judge(run: Run, history: History, wave: pa.Table, frozen: str, number: int) -> WaveJudged:
    with run.console.step("judge", f"wave {number}") as step:
        now, served, first = run.what_is_served(frozen)
        queries = wave_queries(history, wave, now.catalogue, run.rollout.online, now.history_length)
        judged = judge_wave(queries, served, first)
        metrics = {m: pooled([judged], m, run.plan.seed, run.confidence) for m in METRICS}
        step.text = f"{judged.queries} queries of {judged.users} users; ndcg@10 " + ", ".join(
            f"{system} {shown(metrics['ndcg@10'][system])}" for system in SYSTEMS
        )
    day = {"day": number, "sessions": len(pc.unique(wave["user_id"])), "ctr": None}
    run.days.append(day | {"events": wave.num_rows} | metrics)
    return judged


def _replay(run: Run, wave: pa.Table, number: int) -> None:
    async def play() -> Sent:
        async with httpx.AsyncClient(base_url=run.url, timeout=60.0) as http:
            return await send(http, wave, step.advance)

    with run.console.step("users", f"wave {number}") as step:
        step.text = f"events: {asyncio.run(play())}"


def _rows(table: pa.Table, times: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows as dictionaries, with `times` in ISO 8601, since a number before 1973 could be in
    another unit."""
    for name in times:
        place = table.schema.get_field_index(name)
        table = table.set_column(place, name, pc.strftime(table[name], "%Y-%m-%dT%H:%M:%SZ"))
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
