"""Stage `split`: the event log with item and user indices, its windows and its queries.

Reads the input folder (`events/`, `items/`). Writes `windows.json`, `rules.json`, and as Parquet
`items` (as known at the end of the log, with earlier versions), `fit_items` and `rank_items` (the
same for the end of those windows), `users`, `events`, `impressions`, `hidden`, `prices`, `queries`,
`slates` (served requests with their outcomes), `people` (who is set aside) and `signs` (why).

    python -m features.splits.split data/world data/split
"""

import sys
from pathlib import Path

import numpy as np

from base.outputs import replace_folder
from base.params import load
from features.event_log import open_log, write
from features.people.params import PeopleParams
from features.people.verdicts import PEOPLE_IN_ORDER, SIGNS_IN_ORDER, set_aside
from features.splits.placements import PlacementsParams
from features.splits.queries import QUERIES_IN_ORDER, build_queries
from features.splits.slates import build_slates
from features.splits.tokens import (
    EVENTS_IN_ORDER,
    HIDDEN_IN_ORDER,
    IMPRESSIONS_IN_ORDER,
    PRICES_IN_ORDER,
    build_tokens,
)
from features.splits.vocabulary import USERS_IN_ORDER, index_ids, items_in_order
from features.splits.windowing import Organic, Rules, SplitParams, choose_windows
from features.splits.windows import Windows


def split(
    folder: Path,
    out: Path,
    params: SplitParams,
    repeats: bool,
    people: PeopleParams = PeopleParams(),  # noqa: B008
) -> Windows:
    """Split the log in `folder` into the tables of `out`, an existing empty folder.

    Raises LogError if there is no log, and SplitError if it is too small.
    """
    connection = open_log(folder)
    index_ids(connection)
    set_aside(connection, people)
    build_tokens(connection, params, people)
    start, last, known = connection.execute(
        "SELECT min(timestamp), max(timestamp), max(received_at) FROM raw_events"
    ).fetchall()[0]
    found = connection.execute(
        'SELECT timestamp, "user" FROM positives '
        'WHERE organic AND set_aside_from IS NULL ORDER BY timestamp, "user"'
    ).fetchnumpy()
    organic = Organic(np.array(found["timestamp"]), np.array(found["user"]))
    windows = choose_windows(start, last, organic, params)
    bounds = {
        "rank": (windows.fit_end, windows.rank_end),
        "judge": (windows.rank_end, windows.judge_end),
    }
    build_queries(connection, bounds, params, repeats)
    slates_in_order = build_slates(connection, folder, bounds, params)
    windows.write(out / "windows.json")
    rules = Rules(
        history_length=params.history_length, repeats=repeats, min_rating=params.min_rating
    )
    rules.write(out / "rules.json")
    for name, query in {
        "items": items_in_order(windows.fit_end, known),
        "fit_items": items_in_order(windows.fit_end, windows.fit_end),
        "rank_items": items_in_order(windows.fit_end, windows.rank_end),
        "users": USERS_IN_ORDER,
        "events": EVENTS_IN_ORDER,
        "impressions": IMPRESSIONS_IN_ORDER,
        "hidden": HIDDEN_IN_ORDER,
        "prices": PRICES_IN_ORDER,
        "queries": QUERIES_IN_ORDER,
        "slates": slates_in_order,
        "people": PEOPLE_IN_ORDER,
        "signs": SIGNS_IN_ORDER,
    }.items():
        write(connection, query, out / f"{name}.parquet")
    return windows


def main() -> None:
    source, out = Path(sys.argv[1]), Path(sys.argv[2])
    params = load(SplitParams, "split")
    people = load(PeopleParams, "people")
    repeats = load(PlacementsParams, "placements").home.repeats
    with replace_folder(out) as temporary:
        windows = split(source, temporary, params, repeats, people)
    print(f"split {source} into {out}: {windows}")


if __name__ == "__main__":
    main()
