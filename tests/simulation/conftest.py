"""Small worlds, and a service with the same interface to talk to."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from simulation.market import Market
from simulation.world import write
from simulation.world_params import WorldParams

#: Small enough for a test, large enough for shares to be shares.
SMALL = WorldParams(
    humans=200, initial_items=100, new_items=10, history_days=2, sessions_per_day=60
)


@dataclass(frozen=True)
class World:
    """A written history: its market on live day 0, events and items."""

    market: Market
    folder: Path
    events: pd.DataFrame
    items: pd.DataFrame

    @property
    def human_events(self) -> pd.DataFrame:
        bots = set(self.market.users.user_ids[self.market.users.bot])
        return self.events[~self.events["user_id"].isin(bots)]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The default world, with its full history."""
    folder = tmp_path_factory.mktemp("world")
    market = write(WorldParams(), folder)
    events = pq.read_table(folder / "events").to_pandas()
    return World(market, folder, events, pq.read_table(folder / "items").to_pandas())


@dataclass
class Peer:
    """A service with the same interface: shows the newest items, stores outcomes by id.

    The next `fail_next` answers are errors.
    """

    fail_next: int = 0
    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: dict[str, dict[str, Any]] = field(default_factory=dict)
    received_at: dict[str, int] = field(default_factory=dict)
    done: dict[str, set[str | None]] = field(default_factory=dict)
    slates: dict[str, list[str]] = field(default_factory=dict)
    log: list[tuple[str, int, dict[str, Any]]] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        routes = {
            "/recommend": self.recommend,
            "/feedback": self.feedback,
            "/catalogue": self.catalogue,
        }
        return Starlette(
            routes=[Route(p, self._answer(f), methods=["POST"]) for p, f in routes.items()]
        )

    def recommend(self, body: dict[str, Any], now: int) -> dict[str, Any]:
        key = body["request_id"]
        if key not in self.slates:
            done = self.done.get(body["user_id"], set())
            open_items = [i for i, row in self.items.items()
                          if row["created_at"] <= now and i not in done]  # fmt: skip
            self.slates[key] = sorted(open_items, reverse=True)[: body["k"]]
        return {
            "request_id": f"{key}.signature",
            "release": "r1",
            "generation": 1,
            "source": "test",
            "fallback": None,
            "items": [
                {"item_id": item_id, "position": p, "propensity": 1.0, "score": 0.0, "reasons": []}
                for p, item_id in enumerate(self.slates[key])
            ],
        }

    def feedback(self, body: dict[str, Any], now: int) -> dict[str, Any]:
        duplicates = 0
        for event in body["events"]:
            if event["event_id"] in self.events:
                assert self.events[event["event_id"]] == event
                duplicates += 1
            else:
                self.events[event["event_id"]] = event
                self.received_at[event["event_id"]] = now
                self.done.setdefault(event["user_id"], set()).add(event.get("item_id"))
        accepted = len(body["events"]) - duplicates
        return {"accepted": accepted, "duplicates": duplicates, "rejected": []}

    def catalogue(self, body: dict[str, Any], now: int) -> dict[str, Any]:
        for row in body["items"]:
            assert row["created_at"] <= now
            self.items[row["item_id"]] = row
        return {"changed": len(body["items"])}

    def _answer(self, handler: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            if self.fail_next:
                self.fail_next -= 1
                return JSONResponse({"error": "busy"}, status_code=503)
            body, now = await request.json(), int(request.headers["x-rondo-time"])
            self.log.append((request.url.path, now, body))
            return JSONResponse(handler(body, now))

        return endpoint


@pytest.fixture
def peer() -> Peer:
    return Peer()
