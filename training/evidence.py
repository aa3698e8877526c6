"""What a verdict rests on, as a record.

`evaluate` writes it for the challenger alone; the retrain flow adds the champion, re-scored on the
same queries (`comparing.compare`), or says that there is none (`without_champion`). Until one of
the two has happened `first_release` is None and the gate holds.

It is stored beside its release and read again when a later release is compared with that one. A
program that went back to an older version may find evidence there with fields that it does not
know. It then holds whatever it is asked to judge, with that as the one reason (`flows.gating`),
until the newer version runs again or that release is rolled back from (`rondo rollback`).
"""

from dataclasses import dataclass

from pydantic import Field

from base.record import Number, Record
from features.splits.windows import Windows
from training.bootstrap import Interval


@dataclass(frozen=True)
class Slice:
    """One group of queries: how many users, the other system's metric, served minus other."""

    users: int
    reference: Number
    difference: Interval


class Champion(Record):
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
    distinct_items: Number
    """Items in its lists."""
    new_share: Number
    """Share of the lists' places that hold items which the challenger was not trained on: its own,
    or that of the past release that showed most of them."""
    by_user: dict[str, Number]
    """User id to difference on this window, to be pooled later."""
    pooled_users: int = 0
    """Users that `pooled` rests on."""
    left_out: int = 0
    """Queries that count in no comparison: they lie in a judge window that the champion or a past
    release was chosen on."""


class Evidence(Record):
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
    output: dict[str, Number]
    """Of the served lists: what `training.limits` measures, `distinct_items`, `new_share` (of the
    places, with items that nobody could train on), and `new_demand`, their share of the targets."""
    data: dict[str, Number]
    """`events` in the log; `unjoined_share` and `quarantine_share` of what came since the last
    retrain."""
    first_release: bool | None = None
    champion: Champion | None = None
    past: dict[str, Interval] | None = None
    """Challenger minus each of the last releases, by release id; None: not looked at."""
    past_reference: dict[str, Number] = Field(default_factory=dict)
    """The metric of those releases on this window."""

    def without_champion(self) -> "Evidence":
        """There is nothing served yet and no past release: the first one only has to beat
        recency-popularity."""
        return self.model_copy(update={"first_release": True, "champion": None, "past": {}})

    def with_data(self, **checks: float) -> "Evidence":
        """With further data checks, such as `quarantine_share`."""
        return self.model_copy(update={"data": self.data | checks})
