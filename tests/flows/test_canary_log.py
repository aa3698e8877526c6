"""A canary counts the clicks that training counts, from the same log."""

import numpy as np
import sqlalchemy as sa

from features.event_log import open_log
from features.people.params import PeopleParams
from features.people.verdicts import set_aside
from features.schema import DAY, MINUTE
from features.splits.slates import build_slates
from features.splits.tokens import build_tokens
from features.splits.vocabulary import index_ids
from flows import ingest
from flows.workspace import Workspace
from serving import canaries, canary_evidence
from serving.feedback_log import FeedbackLog, Slate
from tests.serving.test_canaries import PARAMS, RULES, click, served
from tests.serving.test_feedback_log import T0


def test_a_canary_counts_the_clicks_that_training_counts(
    engine: sa.Engine, workspace: Workspace
) -> None:
    random = np.random.default_rng(7)
    log = FeedbackLog(engine)
    canaries.start(engine, "canary", "new", "old", 0.5, now=T0)
    found = None
    for number in range(60):
        name, at = f"r{number}", T0 + number * 3 * MINUTE
        arm, user = ("champion", "canary")[number % 2], f"u{number % 11}-{number % 2}"
        made = served(name, user, arm, "i1", "i2", "i3")
        moved = [{**row, "timestamp": at, "received_at": at} for row in made.impressions]
        log.append([Slate({**made.request, "timestamp": at}, made.slots, moved)])
        for item in ("i1", "i2", "i3"):
            if random.random() < 0.4:
                then = at + int(random.integers(-5, 90)) * MINUTE
                sent = click(name, user, item) | {"timestamp": then, "received_at": then}
                again = sent | {"event_id": f"again-{name}-{item}"}
                log.append(events=[sent, again][: int(random.integers(1, 3))])
        if number % 10 == 9:
            ingest.ingest_feedback.fn(engine, workspace, None)
        row = canaries.running(engine, "canary")
        assert row is not None
        now = T0 + DAY if number == 59 else at
        _, found = canary_evidence.count(engine, row, PARAMS, RULES, now, None)
    assert found is not None
    connection = open_log(workspace.log)
    people = PeopleParams()
    index_ids(connection)
    set_aside(connection, people)
    build_tokens(connection, RULES, people)
    build_slates(connection, workspace.log, {"all": (T0, T0 + DAY)}, RULES)
    trained = connection.execute(
        "SELECT count(*), sum(list_sum(clicks)) FROM slates GROUP BY arm ORDER BY arm DESC"
    ).fetchall()
    assert found.totals.tolist() == [value for row in trained for value in row]
    assert found.totals[1] > 10
