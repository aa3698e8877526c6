"""The simulated run: the world's history, then days of users over HTTP, each followed by a
retrain."""

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor

import httpx

from base.params import load
from flows import ingest
from flows.loop import policy_values
from flows.loop.policy_values import Valuation
from flows.loop.run import Run
from flows.stages import output_to, reproduce
from flows.workspace import Workspace
from simulation.client import Client, DayReport
from simulation.history import live_market
from simulation.market import Market
from simulation.valuation import take
from simulation.world_params import WorldParams


def play(run: Run) -> None:
    """Train on the history, then play the days of the plan."""
    plan = run.plan
    overrides: dict[str, object] = {
        "world.seed": plan.seed,
        "world.control": plan.control,
        **plan.overrides,
    }
    with ThreadPoolExecutor(1) as pool:
        place = run.workspace(overrides)
        world = load(WorldParams, "world", place.root / "params.yaml")
        coming: Future[Market] = pool.submit(live_market, world)
        _ingest_history(run, place)
        run.wait_for_prefect()
        market = coming.result()
    with run.serving() as service:
        first = run.retrain("first release", overrides, market.morning)
        client = Client(market, httpx.AsyncClient())
        for day in range(plan.days):
            run.wait_until_in_step(service)
            asyncio.run(_publish(run, client))
            value = _value(run, market, first.release, day)
            run.wait_until_in_step(service)
            report = _users(run, client)
            _note(run, report, value)
            run.retrain(f"day {day}", overrides, market.morning)
        run.wait_until_in_step(service)


def _ingest_history(run: Run, place: Workspace) -> None:
    """Ingest the world's history.

    The log then has the same rows as a fresh clone's default input.
    """
    with run.console.step("world", "world") as step:
        logs = run.rollout.settings.root / "logs"
        with output_to(logs / "dvc.log"):
            reproduce(place, "world", logs)
        step.text = f"history of the market, seed {run.plan.seed}"
    with run.console.step("ingest", "ingest") as step:
        stored = ingest.ingest_log(run.rollout.engine, place, place.root / "data" / "world")
        step.text = (
            f"{stored.events} events, {stored.items} items; data version {stored.version[:12]}"
        )


async def _publish(run: Run, client: Client) -> None:
    async with httpx.AsyncClient(base_url=run.url, timeout=30.0) as client.http:
        await client.publish_items()


def _users(run: Run, client: Client) -> DayReport:
    async def day() -> DayReport:
        async with httpx.AsyncClient(base_url=run.url, timeout=30.0) as client.http:
            return await client.play_day(step.advance)

    with run.console.step("users", f"day {client.market.live_day}") as step:
        report = asyncio.run(day())
        step.text = (
            f"{report.sessions} sessions, CTR {report.ctr:.4f}, {report.events} events stored, "
            f"{report.duplicates} duplicates, {report.late} late"
        )
    return report


def _value(run: Run, market: Market, frozen: str, day: int) -> Valuation:
    """Compute the value of all systems for today's users, before the first of them arrives."""
    with run.console.step("value", f"day {day}") as step:
        now, served, first = run.what_is_served(frozen)
        people = take(market, run.plan.people)
        online = run.rollout.online
        value = policy_values.value(
            people,
            policy_values.requests_now(
                online, now.catalogue, people.user_ids, people.timestamp, now.history_length
            ),
            served,
            first,
            now.policy,
        )
        step.text = "true reward " + ", ".join(f"{k} {v:.4f}" for k, v in value.means().items())
    return value


def _note(run: Run, report: DayReport, value: Valuation) -> None:
    differences = {
        f"served_minus_{other}": value.minus(other, run.plan.seed, run.confidence)
        for other in ("frozen", "popularity")
    }
    for name, difference in differences.items():
        run.console.line(f"{name.replace('_', ' '):<24}{difference}", 1)
    run.days.append(
        {
            "day": report.day,
            "sessions": report.sessions,
            "ctr": report.ctr,
            "events": report.events,
            "reward": {
                **value.means(),
                **{name: difference.plain() for name, difference in differences.items()},
            },
            "greedy": value.greedy_means(),
        }
    )
