"""The record of measurements that a verdict is based on.

Stage `evaluate` writes it for the challenger alone. The retrain flow adds the champion, re-scored
on the same queries (`comparing.compare`), or notes that there is none (`without_champion`). Until
then `first_release` is None and the gate holds.

Evidence is stored beside its release and read again when a later release is compared with it. If an
older version of this program is used again, it may find evidence with fields that it does not know.
It then holds every challenger, with that as the only reason (`flows.gating`), until the newer
version runs again or that release is rolled back (`rondo rollback`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Self

from pydantic import Field

from base.record import Number, Record
from features.people.counts import SetAside
from features.splits.windows import Windows
from training.bootstrap import Interval

#: Fields of earlier versions that nothing reads any more, by the record that had them.
_FORMER: Final = ("past", "past_reference")
_FORMER_OF_CHAMPION: Final = (
    "new_share",
    "pooled",
    "windows_pooled",
    "by_user",
    "pooled_users",
    "slices",
)


@dataclass(frozen=True)
class Slice:
    """One group of queries: number of users, the other system's metric, and served minus other."""

    users: int
    reference: Number
    difference: Interval


@dataclass(frozen=True)
class Look:
    """An earlier look at the same question: its information (1 / squared error) and its bound."""

    information: Number
    bound: Number


#: Sums of one window by user id: (challenger, other release).
ByUser = dict[str, tuple[Number, Number]]


@dataclass(frozen=True)
class Part:
    """A slice of a contest: sums of this window, and the change over all looks."""

    by_user: ByUser
    people: int
    change: Number
    error: Number


class Contest(Record):
    """The challenger against one other release, on what decides.

    That is what each would have earned on logged slates, or, where no slate is clicked, the metric
    on organic choices. Looks with the same code and params at the same other release are pooled.
    """

    release: str
    basis: Literal["slates", "organic"]
    judged_from: int
    """The window's slates or queries are from this moment on, µs, ..."""
    judged_to: int
    """... and before this one."""
    by_user: ByUser
    counted: int
    """Number of slates or queries in this window."""
    effective: Number
    """Number of slates without weights that would tell as much. For queries, their number."""
    clipped: Number
    """The challenger's share of looks for which the log says too little."""
    other_clipped: Number = 0.0
    """The same of the other release."""
    open: int = 0
    """Slates left out because outcomes can still arrive."""
    change: Number
    """Challenger over the other release, minus 1, over all looks."""
    error: Number
    """Its standard error."""
    people: int
    """Users in all looks."""
    total: int
    """Slates or queries in all looks."""
    total_effective: Number
    looks: tuple[Look, ...] = ()
    """Earlier looks of the pool."""
    number: int = 1
    """Which look this is, of all that were taken at the other release."""
    bound: Number
    """What (change + margin) / error must exceed. Unknown if nothing is new since the last look."""
    slices: dict[str, Part] = Field(default_factory=dict)


class Champion(Record):
    """The release served now, re-scored on the challenger's judge window."""

    release: str
    cutoff: int
    """First moment (µs) that it was not trained on."""
    fingerprint: str
    metrics: dict[str, Interval]
    difference: Interval
    """Challenger minus champion on organic choices in this window, averaged by user."""
    distinct_items: Number
    """Number of different items in its lists."""
    contest: Contest | None = None
    left_out: int = 0
    """Queries left out of the comparison, because they lie in the judge window in which the
    champion was chosen."""


class Evidence(Record):
    """Everything that the gate looks at."""

    windows: Windows
    cutoff: int
    """First moment (µs) that the challenger was not trained on."""
    fingerprint: str
    """Digest of code and params. If it equals the champion's, this is a refresh on newer data."""
    metric: str
    """The metric that decides, such as `ndcg@10`."""
    users: int
    queries: int
    metrics: dict[str, dict[str, Interval]]
    """Interval of each metric, by system (`served`, `transformer`, `popularity`, `neighbours`)
    and metric."""
    differences: dict[str, Interval]
    """`served` minus each system in `metric`, paired by query and averaged by user."""
    slices: dict[str, Slice]
    """Comparison with recency-popularity by slice."""
    output: dict[str, Number]
    """Properties of the served lists: what `training.limits` measures, `distinct_items`,
    `new_share` (places with items that nobody could train on), `new_demand` and `new_supply` (share
    of such items among the targets and in the catalogue) and `new_exposure` (`new_share` with
    exploration, added by the retrain flow)."""
    data: dict[str, Number]
    """`events` in the log; `unjoined_share`, `quarantine_share`, `early_share` and `quietest_day`
    of the data since the last retrain."""
    set_aside: SetAside | None = None
    """Who was left out of training and judging. None: written by a version that did not say."""
    first_release: bool | None = None
    champion: Champion | None = None
    reference: Contest | None = None
    """Against the reference, unless the champion is it (see `reference_release`)."""
    popularity: Contest | None = None
    """Against recency-popularity, if there is a champion. The contest's `release` names both."""
    twin: Contest | None = None
    """Against the champion's recipe, fitted on the challenger's data, if the recipe changed. The
    contest's `release` is the fingerprint of that recipe."""
    twin_equal: bool = False
    """The champion's recipe made the same models and policy: what changed changes nothing."""
    twin_missing: str = ""
    """Why there is no such comparison although the recipe changed."""
    reference_release: str | None = None
    """The last release that was first, or promoted as better. Refreshes may not fall below it."""

    @classmethod
    def stored(cls, content: Mapping[str, Any]) -> Self:
        """As `Record.stored`, also from versions that compared with all of the last releases."""
        kept = {name: value for name, value in content.items() if name not in _FORMER}
        if isinstance(kept.get("champion"), Mapping):
            kept["champion"] = {
                name: value
                for name, value in kept["champion"].items()
                if name not in _FORMER_OF_CHAMPION
            }
        return super().stored(kept)

    def without_champion(self) -> "Evidence":
        """Note that nothing is served yet.

        The first release only has to beat recency-popularity.
        """
        return self.model_copy(update={"first_release": True, "champion": None})

    def with_data(self, **checks: float) -> "Evidence":
        """Add data checks, such as `quarantine_share`."""
        return self.model_copy(update={"data": self.data | checks})

    def with_output(self, **numbers: float) -> "Evidence":
        """Add properties of what is shown, such as `new_exposure`."""
        return self.model_copy(update={"output": self.output | numbers})
