"""Counts over sliding windows of days, stored as changes, so that a day without a change costs
nothing.

Ibis expressions, one definition for every engine. A day is a number; its midnight is `day * DAY`. A
window of n days counts a row that happened on day h and was known on day k at the midnights max(h,
k) + 1 to h + n. These days are the row's *span*. Spans become changes (+1 where one begins, −1
after it ends), and the running sum of the changes is the count.
"""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
from ibis import _

from features.schema import DAY


def spans(
    rows: ir.Table,
    keys: Sequence[str],
    days: int,
    first: int,
    last: int,
    ends: ir.Value | None = None,
) -> ir.Table:
    """The days, within [first, last], on which a window of `days` counts each row: columns `keys`,
    `since` and `until`.

    rows: columns `keys`, timestamp and received_at, µs; ends: the last day on which a row may
    count, null for no limit.
    """
    happened = day_of(_.timestamp)
    known = ibis.greatest(happened, day_of(_.received_at))
    return rows.select(
        *keys,
        since=ibis.greatest(known + 1, first),
        until=ibis.least(
            happened + days, last, last if ends is None else ibis.coalesce(ends, last)
        ),
    ).filter(_.since <= _.until)


def united(found: ir.Table, keys: Sequence[str]) -> ir.Table:
    """Merge overlapping spans of equal `keys`, for counts of distinct values."""
    earlier = ibis.window(group_by=list(keys), order_by=["since", "until"])
    reach = found.until.max().over(
        ibis.cumulative_window(group_by=list(keys), order_by=["since", "until"])
    )
    before = found.mutate(reach=reach).mutate(before=_.reach.lag().over(earlier))
    since = ibis.greatest(_.since, ibis.coalesce(_.before + 1, _.since))
    return before.mutate(since=since).drop("reach", "before").filter(_.since <= _.until)


def changes(found: ir.Table, key: str, name: str, last: int) -> ir.Table:
    """Turn spans into changes, summed by day: columns `key`, `day`, `name` (of the count),
    `change`."""
    begins = found.group_by(key, day=_.since).agg(change=_.count())
    ends = found.group_by(key, day=_.until + 1).agg(change=-_.count()).filter(_.day <= last)
    both = begins.union(ends).mutate(name=ibis.literal(name), change=_.change.cast("int64"))
    return both.select(key, "day", "name", "change")


def running(found: ir.Table, key: str, names: Sequence[str]) -> ir.Table:
    """The counts `names`, int64, by (`key`, `day`) at every day on which a count changes.

    found: the `changes` of all counts together. Rows with other names only request a row on their
    day.
    """
    daily = found.group_by(key, "day").agg(
        **{name: _.change.sum(where=_.name == name).fill_null(0) for name in names}
    )
    until_now = ibis.cumulative_window(group_by=key, order_by="day")
    return daily.select(
        key, "day", **{name: daily[name].sum().over(until_now).cast("int64") for name in names}
    )


def by_day(found: ir.Table) -> ir.Table:
    """Repeat each span for every day in it, with column `day`."""
    each = found.mutate(day=ibis.range(found.since, found.until + 1, 1).unnest())
    return each.mutate(day=_.day.cast("int64")).drop("since", "until")


def day_of(time: ir.Value) -> ir.Value:
    """The day number of a time in µs."""
    return (time // DAY).cast("int64")
