"""The command line: clear answers, and errors of one line."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base.settings import Settings
from features.people.counts import SetAside
from flows import environment
from flows.rollout import Rollout
from serving import channels, verdicts
from serving.database import connect
from serving.feedback_log import FeedbackLog
from serving.migrate import head
from tests.serving import old_schema


def rondo(home: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    code = "from flows.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment.variables(Settings(home=home)), **settings},
        cwd=environment.CHECKOUT,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def rollout(tmp_path: Path) -> Rollout:
    """An installation with two releases on record, the second one champion."""
    settings = Settings(home=tmp_path)
    made = Rollout(settings, connect(settings.database))
    for number, release in enumerate(("aa" * 32, "bb" * 32)):
        verdicts.register(made.engine, release, "somewhere", {}, now=number)
        verdicts.record(made.engine, release, "promote", {}, {}, None)
        channels.move(made.engine, "champion", release, number, None, now=number)
    return made


def test_an_empty_installation_says_what_to_do(tmp_path: Path) -> None:
    result = rondo(tmp_path, "status")
    assert "run `rondo ingest FILE`, then `rondo retrain`" in result.stdout
    assert "log         0 events" in result.stdout
    assert "0 events stored" in result.stdout


def test_status_after_an_import_counts_its_events_and_says_to_retrain(tmp_path: Path) -> None:
    part = tmp_path / "workspace" / "data" / "log" / "events" / "dt=2024-01-01" / "part-0-1.parquet"
    part.parent.mkdir(parents=True)
    pq.write_table(pa.table({"event_id": ["a", "b"]}), part)
    told = rondo(tmp_path, "status").stdout
    assert "champion    none yet: run `rondo retrain`" in told
    assert "log         2 events" in told


def test_status_tells_refused_feedback_by_reason(rollout: Rollout) -> None:
    log = FeedbackLog(rollout.engine)
    for number, reason in enumerate(["item_id is missing", "a rating has no value"] * 2 + ["late"]):
        row = {"event_id": f"e{number}", "reason": reason, "payload": {}, "received_at": number}
        log.append(dead=[row])
    told = rondo(rollout.settings.root, "status").stdout.splitlines()
    first = told.index("refused     5 events kept as dead letters")
    assert told[first + 1 : first + 4] == [
        "  2 × a rating has no value",
        "  2 × item_id is missing",
        "  1 × late",
    ]


def test_status_tells_who_was_set_aside_and_why(rollout: Rollout) -> None:
    assert "set aside" not in rondo(rollout.settings.root, "status").stdout
    counts = SetAside(
        users=3, all_users=1200, events=90, all_events=5000, capped=7,
        reasons={"act by a clock": 1, "push one item together": 2},
    )  # fmt: skip
    evidence = {"set_aside": counts.model_dump(mode="json")}
    verdicts.record(rollout.engine, "bb" * 32, "promote", {}, evidence, None)
    told = rondo(rollout.settings.root, "status").stdout.splitlines()
    first = told.index(
        "set aside   3 of 1,200 users with 90 of 5,000 events; 7 more events are beyond the caps"
    )
    assert told[first + 1 : first + 3] == ["  2 × push one item together", "  1 × act by a clock"]


def test_status_and_releases_name_the_champion(rollout: Rollout) -> None:
    home = rollout.settings.root
    assert f"champion    {'bb' * 32} (generation 2)" in rondo(home, "status").stdout
    lines = rondo(home, "releases").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["*", "aaaaaaaaaaaa"]
    assert all(line.endswith("promote") for line in lines)


@pytest.mark.parametrize("asked", [["retrain"], ["rollback"], ["lineage", "abc"]])
def test_what_is_asked_for_too_early_is_one_line(tmp_path: Path, asked: list[str]) -> None:
    result = rondo(tmp_path, *asked)
    assert result.returncode == 1
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("rondo: ")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RONDO_DATABASE_URL", "nonsense"),
        ("RONDO_DATABASE_URL", "postgresql+psycopg://x@127.0.0.1:1/x"),
        ("RONDO_CLOCK", "banana"),
        ("RONDO_HOME", "/proc/nowhere"),
    ],
)
def test_a_setting_that_cannot_be_used_is_one_line_that_names_it(
    tmp_path: Path, name: str, value: str
) -> None:
    result = rondo(tmp_path, "status", **{name: value})
    (line,) = result.stderr.splitlines()
    assert line.startswith("rondo: ")
    assert name in line or "database" in line


def test_a_retrain_of_nothing_says_to_ingest_first(tmp_path: Path) -> None:
    told = rondo(tmp_path, "retrain").stderr
    assert "nothing has been ingested yet" in told
    assert "rondo ingest" in told


def test_no_release_yet_is_said(tmp_path: Path) -> None:
    assert rondo(tmp_path, "releases").stdout == "no release yet: run `rondo retrain`\n"


def test_rollback_serves_the_champion_before(rollout: Rollout) -> None:
    home = rollout.settings.root
    assert "aa" * 32 in rondo(home, "rollback").stdout
    champion = channels.read(rollout.engine, "champion")
    assert champion == channels.Channel("aa" * 32, 3)
    again = rondo(home, "rollback")
    assert again.returncode == 1
    assert len(again.stderr.strip().splitlines()) == 1
    assert again.stderr.startswith("rondo: ")


def test_migrate_brings_a_database_of_before_up_and_says_so(tmp_path: Path) -> None:
    old_schema.make(f"sqlite:///{tmp_path / 'rondo.db'}")
    first, second = rondo(tmp_path, "migrate").stdout, rondo(tmp_path, "migrate").stdout
    assert f"database    sqlite:///{tmp_path / 'rondo.db'}" in first
    assert f"revision    {head()}, was none" in first
    assert f"revision    {head()}, was {head()}" in second


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    result = rondo(tmp_path, "ingest", "absent.csv")
    assert result.returncode == 1
    assert result.stderr.strip() == "rondo: absent.csv: no such file or folder"


def test_ingest_says_why_rows_were_set_aside_and_where_they_are(tmp_path: Path) -> None:
    source = tmp_path / "events.csv"
    head = "user_id,item_id,event_type,timestamp\n"
    source.write_text(head + "u,i,stare,1735689600\n,i,click,1735689601\n")
    result = rondo(tmp_path / "home", "ingest", str(source))
    assert result.returncode == 1
    assert result.stderr.strip().endswith(f"rondo: nothing of {source} was stored")
    assert "0 events and 0 items stored, 2 rows quarantined" in result.stdout
    assert "1 × unknown event_type 'stare'" in result.stdout
    assert "1 × user_id is missing" in result.stdout
    place = result.stdout.split("as Parquet: ")[1].splitlines()[0]
    assert [path.name for path in Path(place).glob("events/*.parquet")]
    source.write_text(head + "u,i,click,1735689600\n")
    assert rondo(tmp_path / "home", "ingest", str(source)).returncode == 0
    again = rondo(tmp_path / "home", "ingest", str(source))
    assert again.returncode == 0
    assert "1 × duplicate" in again.stdout


def test_a_retrain_chooses_its_prefect_server_before_prefect_is_imported() -> None:
    """Prefect reads the address when it is imported.

    If it were imported earlier, it would ask a server that does not run.
    """
    modules = "flows.cli, flows.arrivals, base.processes, flows.rollout, flows.workspace"
    code = f"import sys, {modules}; sys.exit('prefect' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=environment.CHECKOUT).returncode == 0
