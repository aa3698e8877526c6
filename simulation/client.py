"""Simulated users of a running service, who ask for slates and send their actions over HTTP.

The virtual time is sent in the header `x-rondo-time`. Users run in parallel; the requests of one
user run in order. This module does not look into the service, so any HTTP server with the same
interface will do.

    async with httpx.AsyncClient(base_url="http://localhost:3000") as http:
        client = Client(live_market(WorldParams()), http)
        report = await client.play_day()
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from base.arrays import Int64s
from features.schema import DAY, HOUR, MINUTE
from simulation.delivery import Parcel, Payload, parcels
from simulation.market import Market, Visit
from simulation.session import Sessions
from simulation.world_params import WorldParams

TIME_HEADER = "x-rondo-time"

#: Largest number of events or items in one request.
BATCH = 500


class ServiceError(RuntimeError):
    """The service refused a request, or did not answer after all retries."""


@dataclass(frozen=True)
class DayReport:
    """What users did on a live day.

    `events`: number of events of all types that were new to the service.
    """

    day: int
    sessions: int
    slates: int
    impressions: int
    clicks: int
    ctr: float
    sent: int
    events: int
    duplicates: int
    rejected: int
    late: int
    carried: int
    retries: int


@dataclass
class _Counts:
    slates: int = 0
    impressions: int = 0
    clicks: int = 0
    sent: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    late: int = 0
    retries: int = 0


@dataclass
class Client:
    """All users of one service. `carried`: events that have not arrived yet.

    concurrency: users at the same time; retries: attempts after the first one, with waits that
    start at `backoff` seconds and double.
    """

    market: Market
    http: httpx.AsyncClient
    concurrency: int = 8
    retries: int = 6
    backoff: float = 0.1
    carried: list[Parcel] = field(default_factory=list)

    async def play_day(self, progress: Callable[[int, int], None] | None = None) -> DayReport:
        """Play today's new items, sessions and arrivals, then move the market to the next morning.

        A day that fails leaves the market unchanged and can be played again with the same ids.
        progress: called with (sessions done, sessions of the day). Raises ServiceError.
        """
        counts, market = _Counts(), self.market
        await self.publish_items(counts)
        visitors = market.visitors()
        visiting = set(visitors.tolist())
        waiting = {user: [p for p in self.carried if p.user == user] for user in visiting}
        others = [p for p in self.carried if p.user not in visiting]
        gate, done = asyncio.Semaphore(self.concurrency), 0

        async def visit(user: int) -> tuple[Visit, list[Parcel]]:
            nonlocal done
            async with gate:
                result = await self._session(user, waiting[user], counts)
            done += 1
            if progress is not None:
                progress(done, len(visitors))
            return result

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(visit(user)) for user in visitors.tolist()]
        results = [task.result() for task in tasks]
        outstanding = others + [parcel for _, late in results for parcel in late]
        carried = await self._deliver_late(outstanding, counts)
        report = self._report(counts, visitors.tolist(), len(carried))
        market.close([visit for visit, _ in results])
        self.carried = carried
        return report

    async def publish_items(self, counts: _Counts | None = None) -> int:
        """Send this morning's items to the catalogue and return their number. Safe to repeat."""
        items = self.market.new_items()
        rows = [
            {
                "item_id": items.item_ids[i],
                "title": items.titles[i],
                "description": items.descriptions[i],
                "categories": list(items.categories[i]),
                "price": float(items.price[i]),
                "available": True,
                "created_at": int(items.created_at[i]),
            }
            for i in range(len(items))
        ]
        for first in range(0, len(rows), BATCH):
            body = {"items": rows[first : first + BATCH]}
            await self._post("/catalogue", body, self.market.morning + MINUTE, counts or _Counts())
        return len(rows)

    def save(self, folder: Path) -> None:
        """Save the market and the events not yet delivered, between days."""
        folder.mkdir(parents=True, exist_ok=True)
        self.market.save(folder / "market.npz")
        (folder / "carried.json").write_text(json.dumps([asdict(p) for p in self.carried]))

    @staticmethod
    def load(folder: Path, params: WorldParams, http: httpx.AsyncClient) -> "Client":
        """Load what `save` wrote. Raises ValueError if it belongs to another world."""
        carried = [Parcel(**row) for row in json.loads((folder / "carried.json").read_text())]
        return Client(Market.load(folder / "market.npz", params), http, carried=carried)

    async def _session(
        self, user: int, waiting: list[Parcel], counts: _Counts
    ) -> tuple[Visit, list[Parcel]]:
        """One visit: late arrivals first, then rounds until the user leaves."""
        market = self.market
        sessions = Sessions.begin(market, np.array([user]))
        begin = int(sessions.time[0])
        arrived = [p for p in waiting if p.due <= begin]
        later = [p for p in waiting if p.due > begin]
        counts.late += len(arrived)
        again = await self._send(arrived, begin, counts)
        while sessions.active[0]:
            now = int(sessions.time[0])
            answer = await self._recommend(user, sessions.round, now, counts)
            slate = self._slate(answer)
            actions = sessions.play(np.array([0]), slate)
            events = parcels(market, user, actions, answer["request_id"])
            later += [p for p in events if p.late()]
            prompt = again + [p for p in events if not p.late()]
            again = await self._send(prompt, max([now, *(p.due for p in prompt)]), counts)
            self._count(counts, slate, actions.event_type.tolist().count("click"))
        await self._send(again, int(sessions.time[0]), counts)
        return sessions.visits()[0], later

    async def _deliver_late(self, outstanding: list[Parcel], counts: _Counts) -> list[Parcel]:
        """Send the events that arrive before midnight, hour by hour, and return the rest."""
        midnight = self.market.morning + DAY
        due = sorted(
            (p for p in outstanding if p.due < midnight),
            key=lambda p: (p.due, p.payload["event_id"]),
        )
        again: list[Parcel] = []
        for hour in sorted({p.due // HOUR for p in due}):
            bucket = [p for p in due if p.due // HOUR == hour]
            counts.late += len(bucket)
            again = await self._send(again + bucket, bucket[-1].due, counts)
        await self._send(again, midnight - 1, counts)
        return sorted(
            (p for p in outstanding if p.due >= midnight),
            key=lambda p: (p.due, p.payload["event_id"]),
        )

    async def _recommend(self, user: int, turn: int, now: int, counts: _Counts) -> dict[str, Any]:
        market = self.market
        user_id = market.users.user_ids[user]
        body = {
            "user_id": user_id,
            "placement": "home",
            "k": market.params.slate_size,
            "request_id": f"s{market.params.seed}-d{market.day:03d}-{user_id}-{turn}",
        }
        return await self._post("/recommend", body, now, counts)

    async def _send(self, events: list[Parcel], now: int, counts: _Counts) -> list[Parcel]:
        """Send events. Returns those to be sent a second time, with the next batch."""
        for first in range(0, len(events), BATCH):
            batch: list[Payload] = [p.payload for p in events[first : first + BATCH]]
            answer = await self._post("/feedback", {"events": batch}, now, counts)
            counts.sent += len(batch)
            counts.accepted += answer["accepted"]
            counts.duplicates += answer["duplicates"]
            counts.rejected += len(answer["rejected"])
        return [Parcel(p.user, p.due, p.payload, twice=False) for p in events if p.twice]

    async def _post(
        self, path: str, body: dict[str, Any], now: int, counts: _Counts
    ) -> dict[str, Any]:
        wait, problem = self.backoff, ""
        for attempt in range(self.retries + 1):
            if attempt:
                counts.retries += 1
                await asyncio.sleep(wait)
                wait *= 2
            try:
                response = await self.http.post(path, json=body, headers={TIME_HEADER: str(now)})
            except httpx.TransportError as error:
                problem = f"{type(error).__name__} {error}"
                continue
            if response.is_success:
                answer: dict[str, Any] = response.json()
                return answer
            problem = f"{response.status_code} {response.text[:300]}"
            if response.status_code < 500 and response.status_code != 429:
                break
        raise ServiceError(f"POST {path} failed: {problem}")

    def _slate(self, answer: dict[str, Any]) -> Int64s:
        index = self.market.index
        shown = [item["item_id"] for item in sorted(answer["items"], key=lambda i: i["position"])]
        for item_id in shown:
            if item_id not in index:
                raise ServiceError(f"the service showed '{item_id}', which is not in the market")
        slate = np.full((1, self.market.params.slate_size), -1, dtype=np.int64)
        slate[0, : len(shown)] = [index[item_id] for item_id in shown]
        return slate

    def _count(self, counts: _Counts, slate: Int64s, clicks: int) -> None:
        shown = int((slate >= 0).sum())
        counts.slates += 1
        counts.impressions += shown
        counts.clicks += clicks

    def _report(self, counts: _Counts, visitors: list[int], carried: int) -> DayReport:
        return DayReport(
            day=self.market.live_day,
            sessions=len(visitors),
            slates=counts.slates,
            impressions=counts.impressions,
            clicks=counts.clicks,
            ctr=counts.clicks / max(counts.impressions, 1),
            sent=counts.sent,
            events=counts.accepted,
            duplicates=counts.duplicates,
            rejected=counts.rejected,
            late=counts.late,
            carried=carried,
            retries=counts.retries,
        )
