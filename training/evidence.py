"""The record of measurements that a verdict is based on.

Stage `evaluate` writes it for the challenger alone. The retrain flow adds the champion, re-scored
on the same queries (`comparing.compare`), or notes that there is none (`without_champion`). Until
then `first_release` is None and the gate holds.

Evidence is stored beside its release and read again when a later release is compared with it. If an
older version of this program is used again, it may find evidence with fields that it does not know.
It then holds every challenger, with that as the only reason (`flows.gating`), until the newer
version runs again or that release is rolled back (`rondo rollback`).
"""

from dataclasses import dataclass

from pydantic import Field

from base.record import Number, Record
from features.splits.windows import Windows
from training.bootstrap import Interval


@dataclass(frozen=True)
class Slice:
    """One group of queries: number of users, the other system's metric, and served minus other."""

    users: int
    reference: Number
    difference: Interval


class Champion(Record):
    """The release served now, re-scored on the challenger's judge window."""

    release: str
    cutoff: int
    """First moment (µs) that it was not trained on."""
    fingerprint: str
    metrics: dict[str, Interval]
    difference: Interval
    """Challenger minus champion on this window, averaged by user."""
    pooled: Interval
    """The same difference, over this window and those of earlier challengers with the same code,
    params and champion.

    Users are resampled with all their windows.
    """
    windows_pooled: int
    slices: dict[str, Slice]
    distinct_items: Number
    """Number of different items in its lists."""
    new_share: Number
    """Share of places in the lists with items that the challenger was not trained on.

    The larger of the champion's share and the shares of past releases.
    """
    by_user: dict[str, Number]
    """User id to difference on this window. Later challengers pool it."""
    pooled_users: int = 0
    """Number of users in `pooled`."""
    left_out: int = 0
    """Queries left out of all comparisons, because the champion or a past release was chosen in
    a judge window that contains them."""


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
    `new_share` (places with items that nobody could train on) and `new_demand` (share of such items
    among the targets)."""
    data: dict[str, Number]
    """`events` in the log; `unjoined_share` and `quarantine_share` of the data since the last
    retrain."""
    first_release: bool | None = None
    champion: Champion | None = None
    past: dict[str, Interval] | None = None
    """Challenger minus each of the last releases, by release id. None: not compared yet."""
    past_reference: dict[str, Number] = Field(default_factory=dict)
    """The metric of each of those releases on this window."""

    def without_champion(self) -> "Evidence":
        """Note that nothing is served yet.

        The first release only has to beat recency-popularity.
        """
        return self.model_copy(update={"first_release": True, "champion": None, "past": {}})

    def with_data(self, **checks: float) -> "Evidence":
        """Add data checks, such as `quarantine_share`."""
        return self.model_copy(update={"data": self.data | checks})
