"""The command line `rondo`: show the state, list releases, and do things by hand.

Errors are one line on standard error, with exit status 1.
"""

import json
import shutil
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from base.settings import Settings
from flows import canary_commands, environment, reasons

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Operate a Rondo installation.")
app.add_typer(canary_commands.app, name="canary")


@app.command()
def status() -> None:
    """Show the champion, events in the log, feedback that waits or was refused, who was set aside,
    and a running retrain."""
    from flows import arrivals, lease, people
    from flows.consumers import EVENTS
    from flows.rollout import CHANNEL, installation
    from flows.workspace import LOG
    from serving import channels, offsets
    from serving.feedback_log import FeedbackLog

    root, engine = installation().settings.root, installation().engine
    events = arrivals.stored_events(root / "workspace" / LOG)
    champion = channels.read(engine, CHANNEL)
    if champion is not None:
        print(f"champion    {champion.release} (generation {champion.generation})")
    elif events:
        print("champion    none yet: run `rondo retrain`")
    else:
        print("champion    none yet: run `rondo ingest FILE`, then `rondo retrain`")
    for line in canary_commands.running(engine):
        print(line)
    print(f"log         {events} events to learn from")
    log = FeedbackLog(engine)
    stored, done = log.last_offset(), offsets.read(engine, EVENTS)
    print(f"feedback    {stored} events stored, {stored - done} not yet ingested")
    dead = log.dead_reasons()
    print(f"refused     {sum(dead.values())} events kept as dead letters")
    for line in reasons.lines(dead):
        print(line)
    for line in people.lines(engine):
        print(line)
    held = lease.read(engine, "retrain")
    if held is None or held.holder is None:
        print("retrain     not running")
    elif lease.gone(held.holder):
        print(f"retrain     {held.holder} was killed; the next run takes over")
    else:
        again = ", will run once more" if held.again else ""
        print(f"retrain     running in {held.holder}{again}")
    print(f"home        {root}")


@app.command()
def releases(
    limit: Annotated[int, typer.Option(help="How many, newest first.", min=1)] = 20,
) -> None:
    """List the newest releases with their verdicts."""
    from flows.rollout import CHANNEL, installation
    from serving import channels, verdicts

    engine = installation().engine
    champion = channels.read(engine, CHANNEL)
    records = verdicts.latest(engine, limit)
    for record in records:
        mark = "*" if champion and champion.release == record.release else " "
        made = datetime.fromtimestamp(record.created_at / 1e6, UTC)
        print(f"{mark} {record.release[:12]}  {made:%Y-%m-%d %H:%M}  {record.decision or '-'}")
    if not records:
        print("no release yet: run `rondo retrain`")


@app.command()
def lineage(
    name: Annotated[str, typer.Argument(help="A release id or its start, or a request_id.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show what a release, or the release that answered a request, was made from."""
    from flows import lineage as records
    from flows.rollout import installation

    found = records.find(installation().engine, name)
    if as_json:
        print(json.dumps(records.content(found), indent=2))
    else:
        print("\n".join(records.told(found)))


@app.command()
def rebuild(
    name: Annotated[str, typer.Argument(help="A release id or its start, or a request_id.")],
    folder: Annotated[
        Path | None, typer.Option(help="Default: `rebuilds/` in RONDO_HOME, emptied before.")
    ] = None,
) -> None:
    """Make a release again from its lineage in a fresh clone, and compare the two."""
    from flows import lineage as records
    from flows.rebuild import rebuild
    from flows.rollout import installation

    rollout = installation()
    record = records.find(rollout.engine, name).record
    if folder is None:
        folder = rollout.settings.root / "rebuilds" / record.release[:12]
        shutil.rmtree(folder, ignore_errors=True)
    made = rebuild(rollout, record, folder.absolute())
    if made.same:
        print(f"identical: {made.release} in {made.path}")
        return
    print(
        f"not identical: {made.release} in {made.path}; the golden scores of {record.release} "
        f"differ by at most {made.difference:.2g}; other files: {', '.join(made.files)}"
    )
    if not made.passes:
        raise typer.Exit(1)


@app.command()
def ingest(
    source: Annotated[
        str | None, typer.Argument(help="File, folder or database URL; default: the feedback log.")
    ] = None,
) -> None:
    """Add a source, or new feedback, to the log.

    Exits with status 1 if a source had rows and none could be used.
    """
    from flows import ingest as consumer
    from flows.lease import lease, wall_clock
    from flows.rollout import installation

    rollout = installation()
    with lease(rollout.engine, "retrain", ask_again=False) as held, rollout.at_workspace():
        place = rollout.workspace({})
        if source is None:
            stored = consumer.ingest_feedback.fn(rollout.engine, place, held.fence)
        else:
            where = source if "://" in source else Path(source)
            stored = consumer.ingest_source(rollout.engine, place, where, wall_clock(), held.fence)
    kinds = [f"{stored.events} events", f"{stored.items} items"]
    kinds += [f"{stored.users} users"] if stored.users else []
    print(
        f"{', '.join(kinds[:-1])} and {kinds[-1]} stored, {stored.quarantined} rows "
        f"quarantined; data version {stored.version}"
    )
    for line in reasons.lines(stored.reasons):
        print(line)
    if stored.quarantined:
        print(f"  set aside with row and reason, as Parquet: {place.log / 'quarantine'}")
    if stored.folded > 0:
        print(f"  {stored.folded} rows of the source are parts of the item versions above")
    if stored.folded < 0:
        print(
            f"  {-stored.folded} more events than rows, because lists of shown items are expanded"
        )
    if held.again:
        retrain("asked for while a source was ingested")
    if source is not None and stored.nothing:
        print(f"rondo: nothing of {source} was stored", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def retrain(reason: str = "by hand") -> None:
    """Retrain now, judge the release, and promote it if the gate allows."""
    from base.processes import some_prefect_server
    from flows.arrivals import require_events
    from flows.rollout import installation
    from flows.workspace import LOG

    # Check before starting a server for a flow that could only fail.
    rollout = installation()
    require_events(rollout.engine, rollout.settings.root / "workspace" / LOG)
    with some_prefect_server(Settings().root):
        from flows.loop.run import describe
        from flows.retrain import retrain as flow

        outcome = flow(reason)
    if outcome.judgement is None:
        print("a retrain is running already; it will run once more")
        return
    for check in outcome.judgement.verdict.checks:
        print(describe(check))
    print(f"{outcome.decision}: release {outcome.release}")
    if outcome.canary is not None:
        print(canary_commands.told(outcome.canary))
    elif outcome.decision == "canary":
        print("it was not started: see `rondo canary`")


@app.command()
def migrate() -> None:
    """Upgrade the database's tables to this version. Every start does this too, if it may."""
    from serving import migrate as migration
    from serving.database import open_engine

    engine = open_engine(Settings().database)
    before, now = migration.upgrade(engine)
    known = " (of a later version, which is compatible)" if now > migration.head() else ""
    print(f"database    {migration.shown(engine)}")
    print(f"revision    {now}{known}, was {before or 'none'}")
    engine.dispose()


@app.command("rebuild-online")
def rebuild_online() -> None:
    """Fill a lost online store again: batch views and all live histories."""
    from flows.rebuild_online import rebuild
    from flows.rollout import installation

    began = time.monotonic()
    rebuilt = rebuild(installation(), lambda text: print(text, flush=True))
    source = f"release {rebuilt.release[:12]}" if rebuilt.release else "no release"
    seconds = time.monotonic() - began
    print(f"rebuilt in {seconds:.0f} s: {rebuilt.users:,} live histories, batch views of {source}")


@app.command()
def rollback(reason: str = "by hand") -> None:
    """Serve the previous champion again."""
    from flows.lease import wall_clock
    from flows.rollout import CHANNEL, installation
    from serving import channels

    moved = channels.rollback(installation().engine, CHANNEL, now=wall_clock(), reason=reason)
    print(f"champion    {moved.release} (generation {moved.generation})")


def main() -> None:
    """Entry point: prepare the environment, and print known errors as one line."""
    environment.settings()
    try:
        app()
    except environment.expected_errors() as error:
        sys.exit(f"rondo: {environment.told(error)}")
