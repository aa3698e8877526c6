"""From evidence to accounts that are set aside, with the first midnight at which they are.

Each detector gives an account a strength: 1 beyond what people do, ½ for what few people do. An
account is set aside from the first midnight at which its strongest signs of each detector add up to
1: one strong sign, or two weak ones. A detector by which most of those it can judge are suspicious
says something about the log (a coarse clock, say), not about accounts, and abstains at that
midnight. Who was set aside stays so, unless named in `people.trusted`.
"""

import duckdb

from features.event_log import literals
from features.people import blind_clicks, pace, push, rate, regularity, sweep
from features.people.actions import build_actions, drop_actions
from features.people.params import PeopleParams
from features.schema import DAY

#: Of those judged by a detector, the share that may be suspicious before it abstains.
MOST = 0.5

DETECTORS = {
    rate.NAME: rate.evidence,
    pace.NAME: pace.evidence,
    regularity.NAME: regularity.evidence,
    sweep.NAME: sweep.evidence,
    blind_clicks.SHARE: blind_clicks.share,
    blind_clicks.PLACE: blind_clicks.place,
    push.NAME: push.evidence,
}

#: Detectors that judge everybody and report only the suspicious.
ONLY_SUSPICIOUS = (push.NAME,)


def set_aside(connection: duckdb.DuckDBPyConnection, params: PeopleParams) -> None:
    """Create tables `signs` and `people` from `raw_events`, `raw_items` and the vocabulary.

    signs: user, detector, day (midnight number), strength, value, reason: where an account's
    strength by a detector grew. people: user, set_aside_from (µs), reason, one row for each account
    that is set aside; trusted ones are not.
    """
    connection.execute(
        """
        CREATE TEMP TABLE signs (user INTEGER, detector VARCHAR, day BIGINT, strength DOUBLE,
                                 value DOUBLE, reason VARCHAR)
        """
    )
    if params.set_aside:
        build_actions(connection)
        for name, evidence in DETECTORS.items():
            connection.execute(f"CREATE TEMP TABLE found AS {evidence(params)}")
            connection.execute(_grown(name))
            connection.execute("DROP TABLE found")
        drop_actions(connection)
    trusted = literals(params.trusted) or "NULL"
    connection.execute(
        f"""
        CREATE TABLE people AS
        WITH steps AS (
            SELECT *, strength - coalesce(lag(strength) OVER (
                PARTITION BY user, detector ORDER BY strength), 0) AS growth
            FROM signs
        ),
        running AS (
            SELECT *, sum(growth) OVER (PARTITION BY user ORDER BY day) AS total FROM steps
        ),
        since AS (SELECT user, min(day) AS since FROM running WHERE total >= 1 GROUP BY user)
        SELECT user, since * {DAY} AS set_aside_from,
               string_agg(reason, '; ' ORDER BY detector) AS reason
        FROM since JOIN (
            SELECT user, detector, reason, day FROM signs
        ) AS s USING (user) JOIN user_index USING (user)
        WHERE day <= since AND (user_id IN ({trusted})) IS NOT true
        GROUP BY user, since
        """
    )


def _grown(name: str) -> str:
    """SQL that adds to `signs` where the strength of `found` grew, at midnights when the detector
    does not abstain."""
    everybody = "true" if name in ONLY_SUSPICIOUS else "false"
    return f"""
        INSERT INTO signs
        WITH firsts AS (
            SELECT user, min(day) AS judged, min(day) FILTER (strength > 0) AS suspected
            FROM found GROUP BY user
        ),
        marks AS (
            SELECT judged AS day, 1 AS judged, 0 AS suspected FROM firsts
            UNION ALL
            SELECT suspected, 0, 1 FROM firsts WHERE suspected IS NOT NULL
        ),
        speaks AS (
            SELECT day FROM (
                SELECT day, sum(sum(judged)) OVER (ORDER BY day) AS judged,
                       sum(sum(suspected)) OVER (ORDER BY day) AS suspected
                FROM marks GROUP BY day
            ) WHERE {everybody} OR suspected <= {MOST} * judged
        ),
        strongest AS (
            SELECT user, level, min(day) AS day, arg_min(value, day) AS value,
                   arg_min(reason, day) AS reason
            FROM found JOIN (VALUES (0.5), (1.0)) AS levels(level) ON strength >= level
            GROUP BY user, level
        )
        SELECT user, '{name}', speaks.day, level, value, reason
        FROM strongest ASOF JOIN speaks ON strongest.day <= speaks.day
    """


PEOPLE_IN_ORDER = """
    SELECT user_id, set_aside_from, reason FROM people JOIN user_index USING (user)
    ORDER BY user
"""
SIGNS_IN_ORDER = f"""
    SELECT user_id, detector, day * {DAY} AS since, strength, value, reason
    FROM signs JOIN user_index USING (user) ORDER BY user, detector, strength
"""
