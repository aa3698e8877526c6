"""The content of `reports/bench-speed.json` and of the printed table."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Final

from benchmarks.contest import ContestOutcome

RONDO: Final = "rondo"
FLOAT32: Final = "rondo_float32"
"""Rondo without bf16, which some processors do not support."""

PADDED: Final = "padded"
RECTOOLS: Final = "rectools"
NAMES: Final = (RONDO, FLOAT32, PADDED, RECTOOLS)
PAIRS: Final = ((RONDO, RECTOOLS, ""), (RONDO, PADDED, "_padded"), (FLOAT32, RECTOOLS, "_float32"))
"""The contenders that are compared, and the suffix of their ratios' names."""

GOALS: Final = {"ratio_tokens": 8.0, "ratio_seconds": 5.0}
"""Goals for Rondo's tokens/s over RecTools', and RecTools' seconds to the target over Rondo's."""

RACES: Final = "races"
ROUNDS: Final = "rounds"
"""What a ratio of tokens/s was measured on. A race lasts minutes, so its ratio is more reliable."""

UNKNOWN: Final = "–"


def report(
    rounds: Mapping[str, Sequence[ContestOutcome]],
    races: Mapping[str, ContestOutcome],
    rates: Mapping[str, float],
    target: float,
) -> dict[str, Any]:
    """The content of the report so far.

    rounds: runs that measured tokens/s, by contender; races: runs to the target; rates:
    floating-point operations per second of a matrix product, by number format.

    Ratios are named by PAIRS; without a suffix they compare Rondo with RecTools. Tokens/s come from
    the race if there was one, else from the median of the rounds. A ratio compares two races or two
    sets of rounds, and `ratio_tokens…_of` says which. A contender that did not reach the target has
    null seconds. A ratio to it uses the seconds that it trained, and `…_is_lower_bound` is then
    true. If Rondo did not reach the target, or one of the two was not run, the ratio is null.
    """
    ran = [name for name in NAMES if name in rounds or name in races]
    raced = {name: race.tokens_per_second for name, race in races.items()}
    paced = {name: _median(runs) for name, runs in rounds.items() if runs}
    speeds = {name: raced.get(name, paced.get(name)) for name in NAMES}
    reached = {name: race.reached(target) for name, race in races.items()}
    seconds = {name: epoch.seconds if epoch else None for name, epoch in reached.items()}
    trained = {name: race.epochs[-1].seconds for name, race in races.items()}
    content: dict[str, Any] = {"target": target, "tokens_per_second": speeds}
    content["seconds_to_target"] = {name: seconds.get(name) for name in NAMES}
    content["seconds_trained"] = {name: trained.get(name) for name in NAMES}
    for ours, theirs, suffix in PAIRS:
        slowest = seconds.get(theirs) or trained.get(theirs)
        both = ours in raced and theirs in raced
        of_races = _ratio(raced.get(ours), raced.get(theirs))
        of_rounds = _ratio(paced.get(ours), paced.get(theirs))
        content[f"ratio_tokens{suffix}"] = of_races if both else of_rounds
        content[f"ratio_tokens{suffix}_of"] = RACES if both else ROUNDS if of_rounds else None
        content[f"ratio_tokens{suffix}_rounds"] = of_rounds
        content[f"ratio_seconds{suffix}"] = _ratio(slowest, seconds.get(ours))
        content[f"ratio_seconds{suffix}_is_lower_bound"] = (
            content[f"ratio_seconds{suffix}"] is not None and seconds.get(theirs) is None
        )
    content["goals"] = GOALS
    content["matmul_flops_per_second"] = dict(rates)
    content["contenders"] = {
        name: _contender(rounds.get(name, ()), races.get(name), speeds[name], rates) for name in ran
    }
    return content


def _median(runs: Sequence[ContestOutcome]) -> float:
    return statistics.median(run.tokens_per_second for run in runs)


def _ratio(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def _contender(
    rounds: Sequence[ContestOutcome],
    race: ContestOutcome | None,
    speed: float | None,
    rates: Mapping[str, float],
) -> dict[str, Any]:
    runs = [*rounds, *([race] if race else [])]
    model = runs[-1].model
    rate = rates.get(model.get("precision", ""))
    needed = speed * model["flops_per_token"] if speed and model else None
    return {
        **model,
        "rounds_tokens_per_second": [run.tokens_per_second for run in rounds],
        "flops_per_second": needed,
        "share_of_matmul_rate": _ratio(needed, rate),
        "peak_bytes": max(run.peak_bytes for run in runs),
        "epochs": [vars(epoch) for epoch in race.epochs] if race else [],
    }


def table(content: Mapping[str, Any]) -> str:
    """The report for people: a row per contender, then the ratios with their goals."""
    head = [
        "", "tokens/s", f"s to {content['target']:g}", "epochs", "best", "GFLOP/s", "of matmul",
        "format", "peak MB", "weights",
    ]  # fmt: skip
    rows = [head, *(_row(name, content) for name in content["contenders"])]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip()
        for row in rows
    ]
    rates = content["matmul_flops_per_second"]
    told = ", ".join(f"{name} {rate / 1e9:.0f}" for name, rate in rates.items())
    lines.append(f"matrix product, GFLOP/s: {told}")
    lines += [_against_goal(content, key, goal) for key, goal in GOALS.items()]
    if FLOAT32 in content["contenders"]:
        lines += [_against_goal(content, f"{key}_float32", goal) for key, goal in GOALS.items()]
    return "\n".join(lines)


def _row(name: str, content: Mapping[str, Any]) -> list[str]:
    own = content["contenders"][name]
    seconds, trained = content["seconds_to_target"][name], content["seconds_trained"][name]
    ranked = [epoch["ndcg"] for epoch in own["epochs"] if epoch["ndcg"] is not None]
    to_target = _told(seconds, ".1f")
    if seconds is None and trained is not None:
        to_target = f"not in {trained:.1f}"
    return [
        name,
        _told(content["tokens_per_second"][name], ",.0f"),
        to_target,
        str(len(own["epochs"])) if own["epochs"] else UNKNOWN,
        _told(max(ranked, default=None), ".4f"),
        _told(own["flops_per_second"], ".1f", 1e9),
        _told(own["share_of_matmul_rate"], ".1%"),
        own.get("precision", UNKNOWN),
        _told(own["peak_bytes"], ",.0f", 2**20),
        _told(own.get("parameters"), ",d"),
    ]


def _told(value: float | None, form: str, unit: float | None = None) -> str:
    if value is None:
        return UNKNOWN
    return format(value / unit if unit else value, form)


def _against_goal(content: Mapping[str, Any], key: str, goal: float) -> str:
    ratio = content[key]
    if ratio is None:
        return f"{key}: unknown (goal {goal:g})"
    bounded = content.get(f"{key}_is_lower_bound")
    verdict = "met" if ratio >= goal else "not shown" if bounded else "missed"
    bound = "at least " if bounded else ""
    line = f"{key}: {bound}{ratio:.1f} times RecTools' (goal {goal:g}: {verdict})"
    return line + _told_of(content, key)


def _told_of(content: Mapping[str, Any], key: str) -> str:
    """What a ratio of tokens/s was measured on, and the other ratio if there is one."""
    if content.get(f"{key}_of") == ROUNDS:
        return ", over rounds: a race says more"
    rounds = content.get(f"{key}_rounds")
    beside = f"; {rounds:.1f} in rounds" if rounds is not None else ""
    return f", over the race{beside}" if f"{key}_of" in content else ""
