"""Users of a service over HTTP: order, time, retries, late and double deliveries."""

import asyncio
import dataclasses
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from features.schema import DAY, HOUR
from simulation.client import Client, DayReport, ServiceError
from simulation.history import live_market
from simulation.market import Market
from simulation.world_params import WorldParams
from tests.simulation.conftest import SMALL, Peer


def connected(peer: Peer) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(peer.app), base_url="http://rondo")


def stocked(peer: Peer, market: Market) -> Market:
    """What the service knows from the history: the items older than today's."""
    today = set(market.new_items().item_ids)
    for item_id, created_at in zip(market.items.item_ids, market.items.created_at, strict=True):
        if item_id not in today:
            peer.items[item_id] = {"item_id": item_id, "created_at": int(created_at)}
    return market


def play(
    peer: Peer, days: int = 1, params: WorldParams = SMALL, concurrency: int = 8
) -> tuple[Client, list[DayReport]]:
    async def run() -> tuple[Client, list[DayReport]]:
        async with connected(peer) as http:
            market = stocked(peer, live_market(params))
            client = Client(market, http, concurrency=concurrency, backoff=0.001)
            return client, [await client.play_day() for _ in range(days)]

    return asyncio.run(run())


def run_with(peer: Peer, action: Callable[[httpx.AsyncClient], Coroutine[Any, Any, Any]]) -> Any:
    async def run() -> Any:
        async with connected(peer) as http:
            return await action(http)

    return asyncio.run(run())


def test_a_day_reports_what_the_service_saw(peer: Peer) -> None:
    client, (report,) = play(peer)
    clicks = [e for e in peer.events.values() if e["event_type"] == "click"]
    undelivered = sum(p.payload["event_type"] == "click" for p in client.carried)
    assert report.day == 0
    assert report.sessions > 30
    assert report.slates == len(peer.slates)
    assert report.impressions == sum(map(len, peer.slates.values()))
    assert report.clicks == len(clicks) + undelivered
    assert report.ctr == pytest.approx(report.clicks / report.impressions)
    assert report.events == len(peer.events)
    assert report.sent == report.events + report.duplicates
    assert report.rejected == report.retries == 0


def test_new_items_are_announced_each_morning_before_anyone_visits(peer: Peer) -> None:
    client, _ = play(peer, days=2)
    announced = [body["items"] for path, _, body in peer.log if path == "/catalogue"]
    assert [len(items) for items in announced] == [SMALL.new_items, SMALL.new_items]
    assert peer.log[0][0] == "/catalogue"
    assert set(peer.items) <= set(client.market.items.item_ids)


def test_the_requests_of_one_user_come_in_the_order_of_virtual_time(peer: Peer) -> None:
    play(peer)
    times: dict[str, list[int]] = {}
    for path, now, body in peer.log:
        if path == "/recommend":
            times.setdefault(body["user_id"], []).append(now)
    assert max(map(len, times.values())) > 2
    for moments in times.values():
        assert moments == sorted(moments)


def test_no_event_arrives_before_it_happened(peer: Peer) -> None:
    play(peer, days=2)
    for event_id, event in peer.events.items():
        assert peer.received_at[event_id] >= event["timestamp"]


def test_how_many_users_run_at_once_changes_nothing(peer: Peer) -> None:
    other = Peer()
    _, reports = play(peer, days=2, concurrency=1)
    _, concurrent = play(other, days=2, concurrency=16)
    assert reports == concurrent
    assert peer.events == other.events
    assert peer.slates == other.slates
    assert peer.received_at == other.received_at


def test_only_what_happened_on_a_slate_carries_its_signed_request_id(peer: Peer) -> None:
    play(peer)
    for event in peer.events.values():
        request_id = event.get("request_id")
        if event["event_type"] in ("click", "hide"):
            assert request_id is not None
        if event["event_type"] in ("search", "view"):
            assert request_id is None
        if request_id is not None:
            assert event["item_id"] in peer.slates[request_id.removesuffix(".signature")]
        assert "propensity" not in event


def test_the_stated_share_of_events_is_sent_twice_and_counted_once(peer: Peer) -> None:
    params = dataclasses.replace(SMALL, duplicate_share=0.1)
    _, reports = play(peer, days=3, params=params)
    sent_again = sum(report.duplicates for report in reports)
    assert sent_again / len(peer.events) == pytest.approx(0.1, abs=0.02)


def test_late_events_arrive_at_a_later_hour_or_day(peer: Peer) -> None:
    _, reports = play(peer, days=3)
    late = [i for i, e in peer.events.items() if peer.received_at[i] - e["timestamp"] > HOUR]
    assert len(late) / len(peer.events) == pytest.approx(
        SMALL.late_share * 2.718 ** (-1 / SMALL.late_hours), abs=0.015
    )
    assert any(peer.received_at[i] // DAY > peer.events[i]["timestamp"] // DAY for i in late)
    assert reports[0].carried > 0


def test_a_busy_service_is_asked_again(peer: Peer) -> None:
    calm = Peer()
    _, (quiet,) = play(calm)
    peer.fail_next = 3
    _, (report,) = play(peer)
    assert report.retries == 3
    assert dataclasses.replace(report, retries=0) == quiet
    assert peer.events == calm.events


def test_a_day_that_failed_can_be_played_again(peer: Peer) -> None:
    async def fail_then_play(http: httpx.AsyncClient) -> DayReport:
        market = stocked(peer, live_market(SMALL))
        client = Client(market, http, retries=0)
        peer.fail_next = 1
        with pytest.raises(ServiceError, match="POST /catalogue failed: 503"):
            await client.play_day()
        await client.play_day()
        peer.fail_next = 1
        with pytest.raises(ServiceError):
            await client.play_day()
        return await client.play_day()

    whole = Peer()
    _, reports = play(whole, days=2)
    again = run_with(peer, fail_then_play)
    assert dataclasses.replace(again, events=0, duplicates=0) == dataclasses.replace(
        reports[1], events=0, duplicates=0
    )
    assert peer.events == whole.events


def test_a_world_saved_between_days_goes_on_as_if_never_stopped(peer: Peer, tmp_path: Path) -> None:
    whole = Peer()
    _, reports = play(whole, days=2)
    client, _ = play(peer, days=1)
    client.save(tmp_path)

    async def second_day(http: httpx.AsyncClient) -> DayReport:
        return await Client.load(tmp_path, SMALL, http).play_day()

    assert run_with(peer, second_day) == reports[1]
    assert peer.events == whole.events


def test_the_saved_state_of_another_world_is_refused(peer: Peer, tmp_path: Path) -> None:
    client, _ = play(peer)
    client.save(tmp_path)
    other = dataclasses.replace(SMALL, seed=2)
    with pytest.raises(ValueError, match="another world"):
        Market.load(tmp_path / "market.npz", other)


def test_an_item_that_nobody_sells_is_an_error(peer: Peer) -> None:
    peer.items["i99999"] = {"item_id": "i99999", "created_at": 0}
    with pytest.raises(ExceptionGroup) as caught:
        play(peer)
    assert caught.group_contains(ServiceError, match="'i99999', which is not in the market")
