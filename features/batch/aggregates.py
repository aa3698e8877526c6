"""Daily aggregates of users and items as Ibis expressions, one definition for every engine.

The value at midnight D counts events that had happened (`timestamp < D`) and were known
(`received_at < D`) by then. A window of n days is [D − n days, D). A user or item has a row at the
midnight where it is first known (or at `first`, if it was known before) and at each midnight of
[first, last] where a value changes. Its value at any midnight is in the newest row at or before it.
"""

from typing import Final

import ibis
import ibis.expr.types as ir
from ibis import _

from features.batch.changes import by_day, changes, day_of, running, spans, united

#: The prior is one click in twenty impressions, so that a rarely shown item has a defined rate.
CTR_CLICKS: Final = 1.0
CTR_IMPRESSIONS: Final = 20.0

#: Marks a day that needs a row although no count changes.
_ROW: Final = "row"


def item_activity(events: ir.Table, impressions: ir.Table, first: int, last: int) -> ir.Table:
    """`schema.ITEM_FEATURES` by (day, item), from the first day on which the item is known.

    events, impressions: tables of `data/split`; first, last: day numbers. The rows of a user count
    until the midnight from which the user is set aside, and capped events never.
    """

    def within(rows: ir.Table, days: int, *keys: str) -> ir.Table:
        people = day_of(_.set_aside_from) - 1
        return spans(rows, ["item", *keys], days, first, last, people)

    counted = events.filter(~_.capped)
    clicks = counted.filter(_.request_id.notnull())
    counts = {
        **{f"item_events_{days}d": within(counted, days) for days in (1, 3, 7, 30)},
        "item_users_7d": united(within(counted, 7, "user"), ["item", "user"]),
        "item_clicks_7d": united(within(clicks, 7, "request_id"), ["item", "request_id"]),
        "item_impressions_7d": within(impressions, 7),
    }
    parts = [changes(found, "item", name, last) for name, found in counts.items()]
    parts.append(_rows(_first_days("item", events, impressions, first, last), "item"))
    return running(ibis.union(*parts), "item", [*counts]).mutate(
        item_ctr_7d=(_.item_clicks_7d + CTR_CLICKS) / (_.item_impressions_7d + CTR_IMPRESSIONS)
    )


def user_activity(
    events: ir.Table,
    impressions: ir.Table,
    prices: ir.Table,
    items: ir.Table,
    first: int,
    last: int,
) -> ir.Table:
    """`schema.USER_FEATURES` and the items shown to the user in 7 days, by (day, user), from the
    first day on which the user is known.

    events, impressions, prices: tables of `data/split`; items: columns item, item_id; first, last:
    day numbers. The mean price uses the prices known on that day.
    """

    def within(rows: ir.Table, days: int, *keys: str) -> ir.Table:
        return spans(rows, ["user", *keys], days, first, last)

    clicks = events.filter(_.request_id.notnull())
    slot = ("request_id", "item")
    shown = within(impressions, 7, "item")
    counts = {
        **{f"user_events_{days}d": within(events, days) for days in (1, 7, 30)},
        "user_clicks_7d": united(within(clicks, 7, *slot), ["user", *slot]),
        "user_impressions_7d": shown,
    }
    means = _mean_prices(within(events, 30, "item"), prices, last)
    moved = means.mutate(
        before=_.user_mean_price_30d.lag().over(ibis.window(group_by="user", order_by="day")),
    ).filter(_.before.isnull() | (_.before != _.user_mean_price_30d))
    parts = [changes(found, "user", name, last) for name, found in counts.items()]
    parts.append(_rows(_first_days("user", events, impressions, first, last), "user"))
    parts.append(_rows(moved, "user"))
    table = running(ibis.union(*parts), "user", [*counts])
    slots = (
        by_day(shown)
        .semi_join(table, ["user", "day"])
        .group_by("user", "day", "item")
        .agg(shown=_.count())
        .join(items, "item")
    )
    impressed = slots.group_by("user", "day").agg(
        impressed_items=_.item_id.collect(order_by=_.item),
        impressed_counts=_.shown.collect(order_by=_.item),
    )
    for part in (means, impressed):
        table = table.left_join(part, ["user", "day"]).drop("user_right", "day_right")
    return table


def _mean_prices(month: ir.Table, prices: ir.Table, last: int) -> ir.Table:
    """`user_mean_price_30d` by (user, day), over the events of `month` whose item has a price."""
    dated = (
        prices.group_by("item", since=day_of(_.received_at) + 1)
        .agg(price=_.price.argmax(_.received_at))
        .filter(_.since <= last)
    )
    counted = by_day(month.semi_join(dated, "item"))
    # Find the newest price of each day: put the days to look up and the days of new prices in one
    # sequence.
    asked = counted.select("item", "day").distinct()
    marks = asked.mutate(since=ibis.null("int64")).union(
        dated.select("item", day=_.since, since=_.since)
    )
    newest = marks.group_by("item", "day").agg(since=_.since.max())
    newest = newest.mutate(
        since=_.since.max().over(ibis.cumulative_window(group_by="item", order_by="day"))
    )
    found = newest.join(dated, ["item", "since"]).select("item", "day", "price")
    priced = counted.join(found, ["item", "day"])
    return priced.group_by("user", "day").agg(user_mean_price_30d=_.price.mean())


def _first_days(
    key: str, events: ir.Table, impressions: ir.Table, first: int, last: int
) -> ir.Table:
    """Columns `key` and `day`: the first day of [first, last] on which a user or item is known."""
    columns = [key, "timestamp", "received_at"]
    rows = events.select(columns).union(impressions.select(columns))
    known = rows.group_by(key).agg(time=ibis.greatest(_.timestamp, _.received_at).min())
    return known.select(key, day=ibis.greatest(day_of(_.time) + 1, first)).filter(_.day <= last)


def _rows(days: ir.Table, key: str) -> ir.Table:
    """Rows in the shape of `changes` that only mark these days as needing a row."""
    name, change = ibis.literal(_ROW), ibis.literal(0, "int64")
    return days.select(key, "day", name=name, change=change)
