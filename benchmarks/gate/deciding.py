"""The decisions of the real gate on played runs: the contest with the champion, look by look.

Only the rules that read slates are asked (`training.contest_rules`). The other checks of the gate
do not change from look to look here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.gate.tasks import Arrays
from features.schema import DAY
from features.splits.windows import Windows
from training.bootstrap import UNKNOWN
from training.contest import Scores, contest
from training.contest_rules import contest_checks, slice_check
from training.evidence import Champion, Contest, Evidence
from training.gate import decision
from training.thresholds import GateParams

#: Names of `training.slices.request_slices`, in their order.
PARTS: Final = ("new_users", "short_history", "long_history")
CHAMPION: Final = "champion"


@dataclass(frozen=True)
class Decided:
    """A look: slates so far, what the gate decided, and the change with its error."""

    slates: int
    decision: str
    change: float
    error: float
    bound: float


def decide(played: Arrays, name: str, refresh: bool, thresholds: GateParams) -> Iterator[Decided]:
    """The gate on contender `name` of a played run, until it promotes.

    refresh: whether its code and params count as those of the champion.
    """
    earlier: list[Evidence] = []
    for day in range(int(played["day"].max()) + 1):
        rows = played["day"] == day
        scores = Scores(
            "slates",
            played["people"][rows].astype(str).astype(object),
            np.full(int(rows.sum()), day * DAY + 1),
            played[f"second {name}"][rows].astype(np.float64),
            played[f"first {name}"][rows].astype(np.float64),
            {part: played["part"][rows] == place for place, part in enumerate(PARTS)},
            float(played[f"effective {name}"][day]),
            float(played[f"clipped {name}"][day]),
        )
        evidence = _evidence(day, refresh)
        every = np.ones(int(rows.sum()), dtype=np.bool_)
        end = evidence.windows.judge_end
        met = contest(scores, CHAMPION, every, end, evidence, earlier, thresholds)
        checks = [
            *contest_checks("champion", met, refresh, thresholds),
            *(slice_check(part, one, thresholds) for part, one in met.slices.items()),
        ]
        decided = decision(tuple(checks))
        yield Decided(met.total, decided, met.change, met.error, met.bound)
        if decided == "promote":
            return
        earlier.append(_with(evidence, met))


def _evidence(day: int, refresh: bool) -> Evidence:
    windows = Windows(
        start=(day - 2) * DAY,
        fit_end=(day - 1) * DAY,
        rank_end=day * DAY,
        judge_end=(day + 1) * DAY,
    )
    return Evidence(
        windows=windows,
        cutoff=day * DAY,
        fingerprint=CHAMPION if refresh else "challenger",
        metric="ndcg@10",
        users=0,
        queries=0,
        metrics={},
        differences={},
        slices={},
        output={},
        data={},
    )


def _with(evidence: Evidence, met: Contest) -> Evidence:
    champion = Champion(
        release=CHAMPION,
        cutoff=0,
        fingerprint=CHAMPION,
        metrics={},
        difference=UNKNOWN,
        distinct_items=0.0,
        contest=met,
    )
    return evidence.model_copy(update={"first_release": False, "champion": champion})
