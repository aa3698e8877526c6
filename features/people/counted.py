"""Which rows of the tables `events` and `impressions` of `data/split` count, as Arrow filters."""

from typing import Final

import pyarrow.compute as pc

#: Rows of users who are not set aside, by all that the log knows.
OF_PEOPLE: Final = pc.field("set_aside_from").is_null()

#: ... and that are not beyond what one person may add.
COUNTED: Final = OF_PEOPLE & ~pc.field("capped")
