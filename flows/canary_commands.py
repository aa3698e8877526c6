"""`rondo canary`: start, show, look at and stop a canary or a shadow.

Modules that take seconds to import are imported where they are needed.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import sqlalchemy as sa
import typer

if TYPE_CHECKING:
    from flows.canary import Looked
    from serving.canaries import Canary, Channel

app = typer.Typer(
    invoke_without_command=True,
    help="Serve a second release to a part of the users, or score it in the shadow.",
)

Shadow = Annotated[bool, typer.Option("--shadow", help="The shadow instead of the canary.")]


@app.callback()
def overview(context: typer.Context) -> None:
    """Show what runs, unless a command is given."""
    if context.invoked_subcommand is None:
        show()


@app.command()
def start(
    release: Annotated[str, typer.Argument(help="A release id or its start.")],
    share: Annotated[
        float | None,
        typer.Option(help="Share of users; default: by section `canary` and their number."),
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow", help="Score requests, and show nothing.")
    ] = False,
) -> None:
    """Serve a release to a share of the users, beside the champion."""
    from flows import canary
    from flows.lease import wall_clock
    from flows.lineage import find
    from flows.rollout import CHANNEL, installation
    from serving import canaries, channels

    rollout = installation()
    identity = find(rollout.engine, release).record.release
    champion = channels.read(rollout.engine, CHANNEL)
    if not rollout.can_share_features(identity, champion):
        raise canaries.CanaryError(
            f"release {identity[:12]} defines features differently from the champion, and both "
            "would read one online store"
        )
    if share is None:
        share = 1.0 if shadow else canary.start_share(rollout.engine, champion, wall_clock())
    control = champion.release if champion else None
    row = canaries.start(
        rollout.engine, _channel(shadow), identity, control, share, now=wall_clock()
    )
    print(told(row))


@app.command()
def show() -> None:
    """Show what runs, what is known of it, and how the last ones ended."""
    from features.schema import DAY
    from flows import canary
    from flows.lease import wall_clock
    from flows.rollout import installation
    from serving import canaries, canary_evidence, shadow
    from training.canary.decision import decide

    engine = installation().engine
    row = canaries.running(engine, canaries.CANARY)
    if row is None:
        print("canary      none is running")
    else:
        print(told(row))
        chosen = canary.params()
        counted = canaries.evidence(engine, row)
        evidence = canary_evidence.of_people(engine, row, counted, chosen)
        said = decide(evidence, chosen, (wall_clock() - row.started_at) / DAY)
        _print(canary.Looked(row, said, evidence))
    below = canaries.running(engine, canaries.SHADOW)
    if below is not None:
        print(told(below))
        found = shadow.agreement(engine, below)
        if found.agreement is not None and found.seconds is not None:
            print(
                f"            {found.slates} slates scored: {found.agreement:.0%} of the items as "
                f"shown, {1000 * found.seconds:.1f} ms each, {found.failed} by a simpler method"
            )
    for channel in (canaries.CANARY, canaries.SHADOW):
        for past in canaries.latest(engine, channel, 5):
            if not past.running:
                print(f"{channel} {past.number}".ljust(12) + f"{past.release[:12]} {past.state}: "
                      f"{past.reason}")  # fmt: skip


@app.command()
def check() -> None:
    """Look at the canary now: count what is new, and grow, promote or roll back."""
    from flows import canary
    from flows.rollout import installation

    looked = canary.check(installation().engine)
    if looked is None:
        print("canary      none is running, or another process is looking")
        return
    _print(looked)


@app.command()
def stop(
    reason: str = "by hand",
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="Also keep it from being promoted later.")
    ] = False,
    shadow: Shadow = False,
) -> None:
    """End the canary: everybody gets the champion."""
    from flows.lease import wall_clock
    from flows.rollout import installation
    from serving import canaries

    engine, channel = installation().engine, _channel(shadow)
    row = canaries.running(engine, channel)
    if row is None:
        raise canaries.CanaryError(f"no {channel} is running")
    state: canaries.State = "rolled back" if withdraw else "stopped"
    ended = canaries.finish(engine, row, state, reason, None, now=wall_clock())
    print(f"{channel:<12}{ended.release[:12]} {ended.state}: {reason}")


def running(engine: sa.Engine) -> Iterator[str]:
    """A line for each canary or shadow that runs."""
    from serving import canaries

    for channel in (canaries.CANARY, canaries.SHADOW):
        row = canaries.running(engine, channel)
        if row is not None:
            yield told(row)


def _channel(shadow: bool) -> "Channel":
    return "shadow" if shadow else "canary"


def told(row: "Canary") -> str:
    """A canary or shadow in one line."""
    since = datetime.fromtimestamp(row.started_at / 1e6, UTC)
    what = "requests" if row.channel == "shadow" else "users"
    against = "recency-popularity" if row.control is None else row.control[:12]
    return (
        f"{row.channel:<12}{row.release[:12]} for {row.share:.0%} of {what} since "
        f"{since:%Y-%m-%d %H:%M}, against {against}"
    )


def _print(looked: "Looked") -> None:
    said, evidence = looked.look, looked.evidence
    if said is None or evidence is None:
        print(f"            {looked.canary.state}: {looked.canary.reason}")
        return
    control, canary = evidence.by_arm().tolist()
    print(f"            {control:.0f} users in the control, {canary:.0f} in the canary")
    print(f"            {said.action}: {said.reason}")
    if said.missing:
        print(
            f"            about {said.missing:,.0f} more users until it succeeds, if it goes on "
            "like this"
        )
