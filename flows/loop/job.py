"""A whole run: start the servers, play the simulated market or real data, write the report."""

import time
from contextlib import ExitStack

from base import processes
from flows.loop import report
from flows.loop.console import Console
from flows.loop.peak_memory import PeakMemory
from flows.loop.run import Plan, Run
from flows.rollout import installation


def run(plan: Plan, servers: ExitStack, prefect: processes.Supervised) -> None:
    """Run the plan from a clean state, close `servers`, and write the report.

    prefect: the Prefect server, one of `servers`; it may still be starting.
    """
    console, memory = Console(), PeakMemory()
    console.steps["start"] = console.began - plan.began
    console.began = plan.began
    with servers:
        state = Run(plan, console, installation(), prefect, processes.free_port())
        if plan.data is None:
            from flows.loop.simulated_days import play

            play(state)
        else:
            from flows.loop.replay import replay

            replay(state)
    content = {
        "wall_seconds": round(time.monotonic() - plan.began, 2),
        "peak_rss_mb": round(memory.stop(), 1),
        "seed": plan.seed,
        "control": plan.control,
        "confidence": state.confidence,
        "releases": state.releases,
        "days": state.days,
        "pooled": state.totals,
        "steps": {name: round(seconds, 2) for name, seconds in console.steps.items()},
    }
    path = report.write(content, plan.reports)
    console.line(
        f"{console.elapsed():>6}        done in {content['wall_seconds']:.0f} s, "
        f"peak memory {content['peak_rss_mb']:.0f} MB; report: {path}"
    )
