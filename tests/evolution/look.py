"""Run in a grown tree: report, as JSON, what it can read of the present version's data."""

import json
import sys
from pathlib import Path

import numpy as np
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from features import schema
from features.event_log import open_log
from features.items.catalogue import Catalogue
from serving import catalogue_feed, migrate, tables
from serving.check import check
from serving.database import connect
from serving.feedback_log import FeedbackLog
from serving.release import Release
from tests.training import market


def main() -> None:
    release, database, log = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    opened = Release.open(release)
    recommender = opened.load(Catalogue.from_table(opened.items))
    requests = market.requests([[1, 2, 5], [4]])
    known = recommender.rank(requests)
    requests.histories.event_types[:] = schema.EVENT_CODES["view"]
    views = recommender.rank(requests)
    requests.histories.event_types[:] = schema.EVENT_CODES["nod"]
    nods = recommender.rank(requests)
    engine = connect(database)
    with engine.connect() as connection:
        revision = migrate.revision(connection)
        lacking = compare_metadata(MigrationContext.configure(connection), tables.METADATA)
    events = FeedbackLog(engine).read(0, 100)
    content = {
        "code": schema.EVENT_CODES["nod"],
        "check": check(release, rounds=1),
        "items": opened.items.column_names,
        "clicks differ from views": not np.array_equal(known.scores, views.scores),
        "nods are views": np.array_equal(nods.scores, views.scores),
        "revision": revision,
        "lacking": [str(part) for part in lacking],
        "events": events.select(["event_id", "duration"]).to_pylist(),
        "feed": catalogue_feed.read(engine, 0).select(["item_id", "brand"]).to_pylist(),
        "log": open_log(log)
        .sql("SELECT event_id, duration FROM raw_events ORDER BY ALL")
        .fetchall(),
    }
    print(json.dumps(content))


if __name__ == "__main__":
    main()
