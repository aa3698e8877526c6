"""Who is set aside: bots of the embedded world, and nobody who is a person."""

from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from features.event_log import open_log
from features.ingest import IngestParams, read_source, store_events, store_items
from features.people.counts import WORDS, count
from features.people.params import PeopleParams
from features.people.verdicts import DETECTORS, PEOPLE_IN_ORDER, set_aside
from features.schema import DAY
from features.splits.split import split
from features.splits.vocabulary import index_ids
from features.splits.windowing import SplitParams
from simulation.market import Market
from simulation.world import write
from simulation.world_params import WorldParams
from tests.features.logs import at, event, random_log, write_log


def found(folder: Path, params: PeopleParams = PeopleParams()) -> dict[str, tuple[int, str]]:  # noqa: B008
    """User to (set aside from, reason)."""
    connection: duckdb.DuckDBPyConnection = open_log(folder)
    index_ids(connection)
    set_aside(connection, params)
    rows = connection.execute(PEOPLE_IN_ORDER).fetchall()
    return {user: (since, reason) for user, since, reason in rows}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Market]:
    folder = tmp_path_factory.mktemp("world")
    return folder, write(WorldParams(seed=11, history_days=6), folder)


def test_the_worlds_bots_are_set_aside_and_its_people_are_not(
    world: tuple[Path, Market],
) -> None:
    folder, market = world
    bots = set(market.users.user_ids[market.users.bot])
    files = sorted(folder.glob("events/**/*.parquet"))
    active = {user for path in files for user in pq.read_table(path)["user_id"].to_pylist()}
    flagged = found(folder)
    assert len(set(flagged) & bots) >= 0.8 * len(active & bots)
    assert len(set(flagged) - bots) <= 0.001 * len(active)
    assert all("less than a second" in reason for _, reason in flagged.values())


def test_every_detector_is_told_in_words() -> None:
    assert set(WORDS) == set(DETECTORS)


def test_a_trusted_account_is_never_set_aside(world: tuple[Path, Market]) -> None:
    folder, _ = world
    user = next(iter(found(folder)))
    assert user not in found(folder, PeopleParams(trusted=[user]))
    assert not found(folder, replace(PeopleParams(), set_aside=False))


def test_what_was_said_at_a_midnight_never_changes(
    world: tuple[Path, Market], tmp_path: Path
) -> None:
    folder, _ = world
    days = sorted(folder.glob("events/dt=*"))[:4]
    for day in days:
        for path in day.glob("*.parquet"):
            target = tmp_path / "events" / day.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    first = min(pq.read_table(days[0])["timestamp"].cast("int64").to_pylist()) // DAY
    until = (first + 4) * DAY
    early = {user: since for user, (since, _) in found(tmp_path).items() if since <= until}
    assert early
    assert early == {u: since for u, (since, _) in found(folder).items() if since <= until}


def test_accounts_that_push_one_item_together_are_set_aside(tmp_path: Path) -> None:
    log = random_log(tmp_path / "log", users=200, per_day=500)
    assert not found(log)
    pushes = [
        event(f"p{n}-{k}", f"fake{n}", "pushed", at(1, n + 0.1 * k))
        for n in range(8)
        for k in range(5)
    ]
    write_log(tmp_path / "log", pushes, first=10**6)
    flagged = found(log)
    assert set(flagged) == {f"fake{n}" for n in range(8)}
    assert all("push item pushed" in reason for _, reason in flagged.values())


def test_nobody_of_movielens_is_set_aside(real_data: Path, tmp_path: Path) -> None:
    source = read_source(real_data / "movielens-100k", IngestParams().mapping)
    store_events(source.events, tmp_path, 0, at(0))
    store_items(source.items, tmp_path, 0, at(0), source.dated)
    assert not found(tmp_path)


def test_every_row_is_kept_and_marked(world: tuple[Path, Market], tmp_path: Path) -> None:
    folder, _ = world
    for name, params in (("with", PeopleParams()), ("without", PeopleParams(set_aside=False))):
        (tmp_path / name).mkdir()
        split(folder, tmp_path / name, SplitParams(), False, params)
    kept, all_rows = (pq.read_table(tmp_path / n / "events.parquet") for n in ("with", "without"))
    assert kept.num_rows == all_rows.num_rows
    assert kept["set_aside_from"].null_count < kept.num_rows
    assert all_rows["set_aside_from"].null_count == kept.num_rows
    counts = count(tmp_path / "with")
    aside = pq.read_table(tmp_path / "with" / "people.parquet")
    assert (counts.users, counts.all_users) == (
        len(aside),
        pq.read_metadata(tmp_path / "with" / "users.parquet").num_rows,
    )
    assert counts.events == kept.num_rows - kept["set_aside_from"].null_count
    assert counts.all_events == kept.num_rows
    assert counts.reasons[WORDS["pace"]] == len(aside)
    assert count(tmp_path / "without").reasons == {}
    queries = [pq.read_table(tmp_path / n / "queries.parquet") for n in ("with", "without")]
    marked = set(kept.filter(kept["set_aside_from"].is_valid())["user"].to_pylist())
    assert not marked & set(queries[0]["user"].to_pylist())
    assert marked & set(queries[1]["user"].to_pylist())
