"""How often a canary is rolled back wrongly, and how soon a bad one is caught.

    make bench-canary
    python -m benchmarks.canary --replicates 200 --seed 7

Simulates canaries whose users come at random, come again and click in a skewed way: a user's number
of slates and rate of clicks differ widely between users, and clicks of a user go together. Each
canary has its start share, grows as the rules say and is looked at 100 times; a success does not
end it, so that every look may roll back. The decision is the product's own (`training.canary`).
Results with 95 % Wilson intervals go to `reports/bench-canary.json`.
"""

import argparse
import json
import math
import os
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.stats import binomtest

from base.arrays import Float64s, Int64s
from training.canary import start
from training.canary.decision import decide
from training.canary.evidence import Counts, Evidence, contribution
from training.canary.params import CanaryParams

LOOKS: Final = 100
#: Clicks of items on a slate, by a user's own rate: mean, and shape of the gamma distribution over
#: users (0.7: a coefficient of variation of 1.2).
CLICKS_PER_SLATE: Final = 0.3
RATE_SHAPE: Final = 0.7
#: Slates per user after the first: log-normal, so that 1 % of users have a tenth of all slates.
SLATES_SIGMA: Final = 1.0
MEAN_SLATES: Final = 4.0
#: Items of a slate, no two the same, so that the guard of diversity has enough and is silent.
SLOTS: Final = 10


@dataclass(frozen=True)
class Case:
    """Canaries of one kind.

    effect: the canary's clicks are 1 + effect as many (above 0, the control's are fewer); users: of
    both arms; share: at the start; most: it ends once the canary has so many users; slates: of a
    user after the first one, mean.
    """

    effect: float
    users: int
    share: float
    most: int | None = None
    slates: float = MEAN_SLATES
    params: CanaryParams = field(default_factory=CanaryParams)


#: equal, worse: with the start share of the defaults, which grows. worse_half: with equal arms from
#: the start, 10,000 users each. first: the start of a shop without a champion, 1,000 users in all.
#: 60, 120, 200: as many users in all, with ten slates each.
CASES: Final = {
    "equal": Case(0.0, 20_000, CanaryParams.share),
    "equal_half": Case(0.0, 20_000, 0.5),
    "equal_first": Case(0.0, 1_000, start.share(1_000, CanaryParams(), first=True)),
    "worse": Case(-0.2, 105_000, CanaryParams.share, most=10_000),
    "worse_half": Case(-0.2, 20_000, 0.5),
    **{
        f"{name}_{users}": Case(
            effect, users, start.share(users, CanaryParams(), first=True), slates=9.0
        )
        for users in (60, 120, 200)
        for name, effect in (("equal", 0.0), ("worse", -0.5), ("better", 1.0))
    },
}


@dataclass(frozen=True)
class Traffic:
    """Visits in order of time: user, look, one slate each with its clicks, int64 [visits].

    place: float64 [users], where the users are between 0 and 1 when arms are assigned.
    """

    user: Int64s
    look: Int64s
    clicks: Int64s
    place: Float64s


@dataclass(frozen=True)
class Outcome:
    """How a canary ended.

    rolled_back, succeeded: at which look first, None if never; users: in the smaller arm by then;
    share: of the canary; reason: of the rollback.
    """

    rolled_back: int | None
    succeeded: int | None
    users: int
    share: float
    reason: str = ""


def traffic(
    random: np.random.Generator, users: int, looks: int = LOOKS, more: float = MEAN_SLATES
) -> Traffic:
    """Users who first come at a random look and whose slates follow over the rest of the time."""
    mean = math.log(more) - SLATES_SIGMA**2 / 2
    slates = 1 + random.poisson(random.lognormal(mean, SLATES_SIGMA, users))
    rate = random.gamma(RATE_SHAPE, CLICKS_PER_SLATE / RATE_SHAPE, users)
    first = random.random(users)
    user = np.repeat(np.arange(users), slates)
    opening = np.zeros(len(user), dtype=bool)
    opening[np.cumsum(slates) - slates] = True
    moment = first[user] + np.where(opening, 0, (1 - first[user]) * random.random(len(user)))
    # A visit's mood: the same user clicks more on one day than on another.
    clicks = random.poisson(rate[user] * random.gamma(2.0, 0.5, len(user)))
    order = np.argsort(moment, kind="stable")
    look = np.minimum((moment[order] * looks).astype(np.int64), looks - 1)
    return Traffic(user[order], look, clicks[order], random.random(users))


def play(random: np.random.Generator, visits: Traffic, case: Case) -> Outcome:
    """One canary. Clicks of the worse arm are thinned."""
    kept = min(1 + case.effect, 1 / (1 + case.effect))
    params, share, most = case.params, case.share, case.most
    strata = 2 * (2 + max(0, math.ceil(math.log2(params.max_share / share))))
    raw = np.zeros((len(visits.place), strata, 2))
    evidence, succeeded = Evidence.start(share), None
    looks = int(visits.look[-1]) + 1
    edges = np.searchsorted(visits.look, np.arange(looks + 1))
    for look in range(looks):
        part = slice(edges[look], edges[look + 1])
        user, clicks = visits.user[part], visits.clicks[part]
        canary = visits.place[user] < evidence.shares[-1]
        worse = canary if case.effect < 0 else ~canary
        clicks = np.where(worse, random.binomial(clicks, kept), clicks)
        stratum = 2 * (evidence.phases - 1) + canary
        known = np.unique(user)
        new = known[~raw[known, :, 0].any(axis=1)]
        arrived = 2 * (evidence.phases - 1) + (visits.place[new] < evidence.shares[-1])
        before = contribution(raw[known, : 2 * evidence.phases], params)
        np.add.at(raw, (user, stratum), np.stack([np.ones(len(user)), clicks], axis=1))
        after = contribution(raw[known, : 2 * evidence.phases], params)
        requests = np.bincount(canary, minlength=2).astype(float)
        evidence = evidence.with_arrivals(arrived).with_users(before, after)
        counts = replace(Counts.none(), requests=requests, slots=SLOTS * requests)
        evidence = evidence.with_counts(counts)
        said = decide(evidence, params, 0.0)
        users = int(evidence.arrivals.sum(axis=0).min())
        if said.action == "roll back":
            return Outcome(look, succeeded, users, evidence.shares[-1], said.reason)
        if said.action == "succeed" and succeeded is None:
            succeeded = look
        if said.share > evidence.shares[-1]:
            evidence = evidence.grown(said.share)
        if most is not None and evidence.arrivals[:, 1].sum() >= most:
            break
    return Outcome(None, succeeded, users, evidence.shares[-1])


def canaries(case: Case, seed: int, numbers: Iterable[int]) -> list[Outcome]:
    """Independent canaries, each the same for the same seed and number."""
    found = []
    for number in numbers:
        random = np.random.default_rng([seed, number])
        visits = traffic(random, case.users, more=case.slates)
        found.append(play(random, visits, case))
    return found


def run(case: Case, seed: int, replicates: int, processes: int) -> dict[str, Any]:
    """Play canaries in several processes. Returns what happened to them."""
    edges = np.linspace(0, replicates, 8 * processes + 1).astype(int).tolist()
    parts = [range(first, last) for first, last in pairwise(edges)]
    with ProcessPoolExecutor(processes) as pool:
        found = pool.map(partial(canaries, case, seed), parts)
        return summary([outcome for part in found for outcome in part])


def interval(successes: int, trials: int) -> list[float]:
    """Wilson's 95 % interval of a share."""
    found = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return [float(found.low), float(found.high)]


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """What happened to some canaries. Users are those in the smaller arm."""
    ended = [o for o in outcomes if o.rolled_back is not None]
    n = len(outcomes)
    return {
        "replicates": n,
        "rolled_back": len(ended) / n,
        "interval": interval(len(ended), n),
        "guards": sum(not o.reason.startswith("it earns less") for o in ended),
        "succeeded": sum(o.succeeded is not None for o in outcomes) / n,
        "median_users_an_arm": float(np.median([o.users for o in ended])) if ended else None,
        "most_users_an_arm": max((o.users for o in ended), default=None),
        "share_at_the_end": float(np.mean([o.share for o in outcomes])),
    }


def measure(
    seed: int, replicates: int, detections: int, processes: int, cases: dict[str, Case] = CASES
) -> dict[str, Any]:
    """All cases. `canary_false_rollback` and `canary_detection` are those of the defaults."""
    found: dict[str, Any] = {"seed": seed, "looks": LOOKS, "cases": {}}
    for name, case in cases.items():
        number = replicates if case.effect == 0 else detections
        began = time.monotonic()
        found["cases"][name] = run(case, seed, number, processes) | {
            "effect": case.effect,
            "users": case.users,
            "share": case.share,
            "seconds": round(time.monotonic() - began, 1),
        }
        print(name, json.dumps(found["cases"][name]), flush=True)
    for key, name in (("canary_false_rollback", "equal"), ("canary_detection", "worse")):
        of = found["cases"][name]
        found[key] = {n: of[n] for n in ("rolled_back", "interval", "replicates")}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--replicates", type=int, default=2_000, help="of equal canaries")
    parser.add_argument("--detections", type=int, default=1_000, help="of worse canaries")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--report", type=Path, default=Path("reports/bench-canary.json"))
    options = parser.parse_args()
    found = measure(options.seed, options.replicates, options.detections, options.processes)
    options.report.parent.mkdir(parents=True, exist_ok=True)
    options.report.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
