"""What a verdict rests on, as a record that survives JSON unchanged.

`evaluate` writes it for the challenger alone; the retrain flow adds the champion, re-scored on the
same queries (`compare`), or says that there is none (`without_champion`). Until one of the two has
happened `first_release` is None and the gate holds.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from features.splits.windows import Windows
from training.bootstrap import UNKNOWN, Interval, interval
from training.judging import Judged


@dataclass(frozen=True)
class Slice:
    """One group of queries: how many users, the other system's metric, served minus other."""

    users: int
    reference: float
    difference: Interval


@dataclass(frozen=True)
class Champion:
    """The release now served, re-scored on the challenger's judge window."""

    release: str
    cutoff: int
    """First moment (µs) it was not trained on."""
    fingerprint: str
    metrics: dict[str, Interval]
    difference: Interval
    """Challenger minus champion on this window, by user."""
    pooled: Interval
    """The same over this window and those of earlier challengers with the same code, params and
    champion; users resampled whole."""
    windows_pooled: int
    slices: dict[str, Slice]
    distinct_items: float
    """Items in its lists."""
    new_share: float
    """Share of the lists' places that hold items which the challenger was not trained on: its own,
    or that of the past release that showed most of them."""
    by_user: dict[str, float]
    """User id to difference on this window, to be pooled later."""
    pooled_users: int = 0
    """Users that `pooled` rests on."""
    left_out: int = 0
    """Queries that count in no comparison: they lie in a judge window that the champion or a past
    release was chosen on."""


@dataclass(frozen=True)
class Evidence:
    """Everything the gate looks at."""

    windows: Windows
    cutoff: int
    """First moment (µs) the challenger was not trained on."""
    fingerprint: str
    """Of code and params: equal to the champion's means a refresh, not a change."""
    metric: str
    """The metric that decides, such as `ndcg@10`."""
    users: int
    queries: int
    metrics: dict[str, dict[str, Interval]]
    """System (`served`, `transformer`, `popularity`, `neighbours`) to metric to interval."""
    differences: dict[str, Interval]
    """System to `served` minus it in `metric`, paired by query and averaged by user."""
    slices: dict[str, Slice]
    """Against recency-popularity."""
    output: dict[str, float]
    """Of the served lists: `coverage`, `distinct_items`, `full_share`, `common_share`, `new_share`
    (places with items that nobody could train on), and `new_demand`, their share of the targets."""
    data: dict[str, float]
    """`events` in the log; `unjoined_share` and `quarantine_share` of what came since the last
    retrain."""
    first_release: bool | None = None
    champion: Champion | None = None
    past: dict[str, Interval] | None = None
    """Challenger minus each of the last releases, by release id; None: not looked at."""
    past_reference: dict[str, float] = field(default_factory=dict)
    """The metric of those releases on this window."""

    def to_json(self) -> str:
        """NaN is written as null."""
        return json.dumps(_plain(asdict(self)), indent=2, sort_keys=True, allow_nan=False) + "\n"

    @staticmethod
    def from_json(text: str) -> "Evidence":
        values: dict[str, Any] = json.loads(text)
        champion, past = values["champion"], values["past"]
        return Evidence(
            **values
            | {
                "windows": Windows(**values["windows"]),
                "metrics": {k: _intervals(v) for k, v in values["metrics"].items()},
                "differences": _intervals(values["differences"]),
                "slices": _slices(values["slices"]),
                "output": _numbers(values["output"]),
                "data": _numbers(values["data"]),
                "champion": None if champion is None else _champion(champion),
                "past": None if past is None else _intervals(past),
                "past_reference": _numbers(values["past_reference"]),
            }
        )

    def without_champion(self) -> "Evidence":
        """There is nothing served yet and no past release: the first one only has to beat
        recency-popularity."""
        return replace(self, first_release=True, champion=None, past={})

    def with_data(self, **checks: float) -> "Evidence":
        """With further data checks, such as `quarantine_share`."""
        return replace(self, data=self.data | checks)


def compare(
    evidence: Evidence,
    challenger: Judged,
    champion: Judged,
    user_ids: npt.NDArray[np.object_],
    slices: Mapping[str, npt.NDArray[np.bool_]],
    fair: npt.NDArray[np.bool_],
    new_share: float,
    release: str,
    cutoff: int,
    fingerprint: str,
    seed: int,
    confidence: float,
    earlier: Sequence[Evidence] = (),
) -> Evidence:
    """Evidence with the champion beside the challenger, both judged on the same queries.

    user_ids: object [n], of each query; slices: bool [n] each; fair: bool [n], the queries that
    are compared (`outside`); new_share: see Champion; release, cutoff, fingerprint: the
    champion's; earlier: evidence of earlier challengers: those that met this champion with this
    code and these params are pooled (docs/adr/0008).
    """
    metric = evidence.metric
    difference = challenger.minus(champion, metric, seed, fair, confidence)
    paired = challenger.metrics[metric] - champion.metrics[metric]
    by_user = _by_user(paired[fair], user_ids[fair])
    pool = [by_user]
    for past in earlier:
        same = past.fingerprint == evidence.fingerprint and past.champion is not None
        if same and past.champion is not None and past.champion.release == release:
            pool.append(past.champion.by_user)
    side = Champion(
        release=release,
        cutoff=cutoff,
        fingerprint=fingerprint,
        metrics={name: champion.interval(name, seed, fair) for name in champion.metrics},
        difference=difference,
        pooled=pooled_interval(pool, seed, confidence),
        windows_pooled=len(pool),
        slices=compare_slices(
            challenger,
            champion,
            metric,
            {name: rows & fair for name, rows in slices.items()},
            seed,
            confidence,
        ),
        distinct_items=distinct_items(champion.lists),
        new_share=new_share,
        by_user=by_user,
        pooled_users=len({user for window in pool for user in window}),
        left_out=int((~fair).sum()),
    )
    return replace(evidence, first_release=False, champion=side)


def compare_past(
    evidence: Evidence,
    challenger: Judged,
    past: Mapping[str, Judged | None],
    fair: npt.NDArray[np.bool_],
    seed: int,
    confidence: float,
) -> Evidence:
    """With the challenger minus each past release on the queries `fair`, bool [n]; a release that
    could not be re-scored (None) stays unknown and the gate holds. An empty mapping says that there
    is no past release."""
    metric = evidence.metric
    differences = {
        release: UNKNOWN
        if judged is None
        else challenger.minus(judged, metric, seed, fair, confidence)
        for release, judged in past.items()
    }
    reference = {
        release: math.nan if judged is None else judged.interval(metric, seed, fair).mean
        for release, judged in past.items()
    }
    return replace(evidence, past=differences, past_reference=reference)


def outside(timestamps: npt.NDArray[np.int64], windows: Sequence[Windows]) -> npt.NDArray[np.bool_]:
    """Which moments, int64 [n], µs, lie in the judge window of none of `windows`: bool [n].

    A release was promoted because it did well in its own judge window, so there it looks better
    than it is, and whoever is compared with it there looks worse.
    """
    fair = np.ones(len(timestamps), dtype=np.bool_)
    for own in windows:
        fair &= (timestamps < own.rank_end) | (timestamps >= own.judge_end)
    return fair


def compare_slices(
    served: Judged,
    other: Judged,
    metric: str,
    slices: Mapping[str, npt.NDArray[np.bool_]],
    seed: int,
    confidence: float,
) -> dict[str, Slice]:
    """`Slice` by name; UNKNOWN differences where a slice has fewer than two users."""
    return {
        name: Slice(
            users=len(np.unique(served.users[rows])),
            reference=other.interval(metric, seed, rows).mean if rows.any() else math.nan,
            difference=served.minus(other, metric, seed, rows, confidence)
            if rows.any()
            else UNKNOWN,
        )
        for name, rows in slices.items()
    }


def pooled_interval(pool: Sequence[Mapping[str, float]], seed: int, confidence: float) -> Interval:
    """Of the mean difference over all (user, window) pairs, users resampled with all they have."""
    values = np.array([value for window in pool for value in window.values()], dtype=np.float64)
    names = [user for window in pool for user in window]
    users = np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)[1]
    return interval(values, users.astype(np.int64), seed, confidence=confidence)


def _by_user(
    differences: npt.NDArray[np.float64], user_ids: npt.NDArray[np.object_]
) -> dict[str, float]:
    names, inverse, counts = np.unique(
        user_ids.astype(str), return_inverse=True, return_counts=True
    )
    means = np.bincount(inverse, weights=differences) / counts
    return {str(name): float(mean) for name, mean in zip(names, means, strict=True)}


def distinct_items(lists: npt.NDArray[np.int32]) -> float:
    """How many different items the lists hold together."""
    return float(len(np.unique(lists[lists >= 0])))


def share_of(chosen: npt.NDArray[np.bool_], lists: npt.NDArray[np.int32]) -> float:
    """Share of the filled places of `lists` that hold items of `chosen`, bool [catalogue]."""
    shown = lists[lists >= 0]
    return float(chosen[shown].mean()) if len(shown) else 0.0


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _numbers(values: dict[str, float | None]) -> dict[str, float]:
    return {name: _number(value) for name, value in values.items()}


def _interval(values: dict[str, float | None]) -> Interval:
    return Interval(**_numbers(values))


def _intervals(values: dict[str, dict[str, float | None]]) -> dict[str, Interval]:
    return {name: _interval(value) for name, value in values.items()}


def _slices(values: dict[str, dict[str, Any]]) -> dict[str, Slice]:
    return {
        name: Slice(v["users"], _number(v["reference"]), _interval(v["difference"]))
        for name, v in values.items()
    }


def _champion(values: dict[str, Any]) -> Champion:
    return Champion(
        **values
        | {
            "metrics": _intervals(values["metrics"]),
            "difference": _interval(values["difference"]),
            "pooled": _interval(values["pooled"]),
            "slices": _slices(values["slices"]),
            "distinct_items": _number(values["distinct_items"]),
            "new_share": _number(values["new_share"]),
            "by_user": _numbers(values["by_user"]),
        }
    )
