"""The run on real data: most of it as history, the rest replayed in waves through the service.

The last 20 % of the events come in 6 waves of equal count (a calendar day of MovieLens is too
thin). Each release is judged on the wave after it: live histories of strictly earlier timestamps,
the events of one user in one second are one set of targets, at most 5 queries a user.
"""

import asyncio
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features.ingest import IngestParams, Source, read_source
from features.params import load
from flows import ingest
from flows.console import Advance
from flows.loop_run import Run
from flows.rollout import CHANNEL
from flows.wave_judging import METRICS, History, WaveJudged, judge_wave, pooled
from serving import channels
from serving.release import Release

WAVES: Final = 6
REPLAYED: Final = 0.2
CONCURRENCY: Final = 16
FIELDS: Final = ("user_id", "item_id", "event_type", "timestamp", "placement")


@dataclass(frozen=True)
class Waves:
    """A source cut in time. history: what the first release learns from; waves: tables of events
    sorted by time, replayed one after the other."""

    history: Source
    waves: list[pa.Table]


def cut(source: Source, waves: int = WAVES, replayed: float = REPLAYED) -> Waves:
    """Cut at equal counts, moved on so that no moment is cut in two."""
    events = source.events
    times = events["timestamp"].cast(pa.int64())
    order = pc.sort_indices(
        pa.table({"t": times, "u": events["user_id"], "i": events["item_id"]}),
        [("t", "ascending"), ("u", "ascending"), ("i", "ascending")],
    )
    events = events.take(order)
    moments = times.take(order).to_numpy()
    shares = 1.0 - replayed + replayed * np.arange(waves + 1) / waves
    wanted = np.minimum((shares * len(moments)).round().astype(int), len(moments))
    bounds = [
        int(np.searchsorted(moments, moments[i], "left")) if i < len(moments) else len(moments)
        for i in wanted
    ]
    history = Source(events.slice(0, bounds[0]), source.items, source.users, source.kind)
    parts = [events.slice(a, b - a) for a, b in pairwise(bounds)]
    return Waves(history, parts)


def replay(run: Run) -> None:
    """Bootstrap on the history; then judge, replay and retrain, wave by wave."""
    plan = run.plan
    assert plan.data is not None
    with run.console.step("workspace", "workspace") as step:
        place = run.rollout.workspace(plan.overrides)
        step.text = str(place.root)
    with run.console.step("ingest", "ingest") as step:
        params = load(IngestParams, "ingest", place.root / "params.yaml")
        waves = cut(read_source(plan.data, params.mapping))
        start = last_moment(waves.history.events)
        stored = ingest.ingest_source(run.rollout.engine, place, waves.history, start)
        step.text = (
            f"{stored.events} events, {stored.items} items, {stored.quarantined} quarantined of "
            f"{waves.history.kind}; data version {stored.version[:12]}"
        )
    run.wait_for_prefect()
    with run.serving() as service:
        first = run.retrain("first release", plan.overrides, start)
        history, judged = History.of(waves.history.events), []
        for number, wave in enumerate(waves.waves, start=1):
            run.wait_until_in_step(service)
            judged.append(_judge(run, history, wave, first.release, number))
            _replay(run, wave, number)
            history = history.extended(wave)
            _note(run, judged[-1], number, wave)
            if number < len(waves.waves):
                run.retrain(f"wave {number}", plan.overrides, last_moment(wave))
        run.wait_until_in_step(service)
    _sum_up(run, judged)


def last_moment(events: pa.Table) -> int:
    """The newest timestamp, µs."""
    newest: int = pc.max(events["timestamp"].cast(pa.int64())).as_py()
    return newest


def _judge(run: Run, history: History, wave: pa.Table, frozen: str, number: int) -> WaveJudged:
    rollout = run.rollout
    with run.console.step("judge", f"wave {number}") as step:
        champion = channels.read(rollout.engine, CHANNEL)
        served = Release.open(rollout.fetch(champion.release)) if champion else None
        judged = judge_wave(
            history, wave, rollout.online, served, Release.open(rollout.fetch(frozen))
        )
        step.text = f"{judged.queries} queries of {judged.users} users; ndcg@10 " + ", ".join(
            f"{system} {value:.4f}" for system, value in judged.means("ndcg@10").items()
        )
    return judged


def _replay(run: Run, wave: pa.Table, number: int) -> None:
    with run.console.step("users", f"wave {number}") as step:
        accepted = asyncio.run(_send(run.url, wave, step.advance))
        step.text = f"{wave.num_rows} events sent, {accepted} stored"


async def _send(url: str, wave: pa.Table, advance: Advance) -> int:
    """POST every event at its own time; users side by side, each user's events in order."""
    by_user: dict[str, dict[int, list[dict[str, Any]]]] = {}
    rows = wave.set_column(
        wave.column_names.index("timestamp"), "timestamp", wave["timestamp"].cast(pa.int64())
    ).to_pylist()
    for row in rows:
        event = {name: row[name] for name in FIELDS if row.get(name) is not None}
        event["value"] = float(row["value"]) if row.get("value") is not None else None
        event["event_id"] = f"r-{row['user_id']}-{row['item_id']}-{row['timestamp']}"
        by_user.setdefault(row["user_id"], {}).setdefault(row["timestamp"], []).append(event)
    accepted, done, gate = 0, 0, asyncio.Semaphore(CONCURRENCY)

    async def send(moments: dict[int, list[dict[str, Any]]]) -> None:
        nonlocal accepted, done
        async with gate:
            for moment, events in moments.items():
                answer = await http.post(
                    "/feedback", json={"events": events}, headers={"x-rondo-time": str(moment)}
                )
                answer.raise_for_status()
                accepted += answer.json()["accepted"]
                done += len(events)
                advance(done, len(rows))

    async with (
        httpx.AsyncClient(base_url=url, timeout=60.0) as http,
        asyncio.TaskGroup() as group,
    ):
        for moments in by_user.values():
            group.create_task(send(moments))
    return accepted


def _note(run: Run, judged: WaveJudged, number: int, wave: pa.Table) -> None:
    day: dict[str, Any] = {
        "day": number,
        "sessions": len(pc.unique(wave["user_id"])),
        "ctr": None,
        "events": wave.num_rows,
    }
    run.days.append(day | {metric: judged.summary(metric, run.plan.seed) for metric in METRICS})


def _sum_up(run: Run, judged: list[WaveJudged]) -> None:
    """All waves together, users resampled with everything they did."""
    for metric in METRICS:
        run.totals[metric] = pooled(judged, metric, run.plan.seed)
        for name, value in run.totals[metric].items():
            shown = (
                f"{value['mean']:+.4f} [{value['low']:+.4f}, {value['high']:+.4f}]"
                if isinstance(value, dict)
                else f"{value:.4f}"
            )
            run.console.line(f"all waves {metric} {name.replace('_', ' ')}: {shown}", 1)
