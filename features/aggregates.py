"""Daily aggregates of users and items as Ibis expressions: one definition for every engine.

A snapshot at time D counts only what had happened (`timestamp < D`) and was known
(`received_at < D`) by then. Window `n`d is [D − n days, D).
"""

from typing import Final

import ibis
import ibis.expr.types as ir
from ibis import _

from features.schema import DAY

#: The windows below, in days: at their ends a value changes without a new row.
WINDOW_DAYS: Final = (1, 3, 7, 30)

#: A prior of one click in twenty impressions, so that a rarely shown item has a defined rate.
CTR_CLICKS = 1.0
CTR_IMPRESSIONS = 20.0


def known(rows: ir.Table, snapshots: ir.Table, days: int | None = None) -> ir.Table:
    """Each row once for every snapshot that may count it, with column `snapshot`."""
    predicates = [rows.timestamp < snapshots.snapshot, rows.received_at < snapshots.snapshot]
    if days is not None:
        predicates.append(rows.timestamp >= snapshots.snapshot - days * DAY)
    return rows.join(snapshots, predicates)


def user_activity(
    events: ir.Table, impressions: ir.Table, prices: ir.Table, items: ir.Table, snapshots: ir.Table
) -> ir.Table:
    """`schema.USER_FEATURES` and what the user was shown in 7 days, by (snapshot, user).

    A row for every user known by then. events, impressions, prices: tables of `data/split`;
    items: columns item, item_id; snapshots: one int64 column `snapshot`, µs. The mean price takes
    the prices known then.
    """
    counted = known(events, snapshots, 30).mutate(
        clicked_slot=_.request_id + ":" + _.item.cast("string")
    )
    price = (
        prices.join(snapshots, prices.received_at < snapshots.snapshot)
        .group_by("snapshot", "item")
        .agg(price=_.price.argmax(_.received_at))
    )
    counts = (
        counted.left_join(price, ["snapshot", "item"])
        .group_by("snapshot", "user")
        .agg(
            user_events_1d=_recent(1).sum(),
            user_events_7d=_recent(7).sum(),
            user_events_30d=_.count(),
            user_clicks_7d=_.clicked_slot.nunique(where=_recent(7)),
            user_mean_price_30d=_.price.mean(),
        )
    )
    shown = (
        known(impressions, snapshots, 7)
        .group_by("snapshot", "user", "item")
        .agg(shown=_.count())
        .join(items, "item")
    )
    impressed = shown.group_by("snapshot", "user").agg(
        user_impressions_7d=_.shown.sum(),
        impressed_items=_.item_id.collect(order_by=_.item),
        impressed_counts=_.shown.collect(order_by=_.item),
    )
    return _complete(_everybody("user", events, impressions, snapshots), "user", counts, impressed)


def item_activity(events: ir.Table, impressions: ir.Table, snapshots: ir.Table) -> ir.Table:
    """`schema.ITEM_FEATURES` by (snapshot, item), a row for every item known from events."""
    counts = (
        known(events, snapshots, 30)
        .mutate(clicked_slot=_.request_id + ":" + _.item.cast("string"))
        .group_by("snapshot", "item")
        .agg(
            item_events_1d=_recent(1).sum(),
            item_events_3d=_recent(3).sum(),
            item_events_7d=_recent(7).sum(),
            item_events_30d=_.count(),
            item_users_7d=_.user.nunique(where=_recent(7)),
            item_clicks_7d=_.clicked_slot.nunique(where=_recent(7)),
        )
    )
    shown = (
        known(impressions, snapshots, 7)
        .group_by("snapshot", "item")
        .agg(item_impressions_7d=_.count())
    )
    table = _complete(_everybody("item", events, impressions, snapshots), "item", counts, shown)
    return table.mutate(
        item_ctr_7d=(_.item_clicks_7d + CTR_CLICKS) / (_.item_impressions_7d + CTR_IMPRESSIONS)
    )


def _recent(days: int) -> ibis.Deferred:
    return _.timestamp >= _.snapshot - days * DAY


def _everybody(key: str, events: ir.Table, impressions: ir.Table, snapshots: ir.Table) -> ir.Table:
    columns = [key, "timestamp", "received_at"]
    rows = events.select(columns).union(impressions.select(columns))
    since = rows.group_by(key).agg(
        timestamp=ibis.greatest(_.timestamp, _.received_at).min(),
    )
    return since.join(snapshots, since.timestamp < snapshots.snapshot).select("snapshot", key)


def _complete(everybody: ir.Table, key: str, *parts: ir.Table) -> ir.Table:
    """The parts side by side, with 0 for a count that a part does not have."""
    table = everybody
    for part in parts:
        table = table.left_join(part, ["snapshot", key]).drop("snapshot_right", f"{key}_right")
    counts = [name for name in table.columns if name.endswith("d") and "price" not in name]
    return table.mutate(
        **{n: _[n].fill_null(0).cast("int64") for n in counts if n.split("_")[0] == key}
    )
