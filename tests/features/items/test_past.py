"""Price, availability and time of creation are those known at a request, not later ones."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from features.items.catalogue import Catalogue
from features.requests.training_set import load_catalogue
from features.schema import ITEM, MINUTE
from features.splits.split import split
from features.splits.windowing import SplitParams
from tests.features.logs import at, event, item, write_log


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data/split` of a log that ends on day 5: fit until day 3, judge from day 4."""
    versions = [
        item("changes", at(0), price=1.0, title="first"),
        item("changes", at(1), price=2.0, title="before the rank window"),
        item("changes", at(3, 12), price=3.0, title="in the rank window"),
        item("changes", at(4, 12), price=None, available=False, title="in the judge window"),
        item("changes", at(9), price=9.0, title="announced later"),
        item("retitled", at(0), price=5.0, title="old"),
        item("retitled", at(4), price=5.0, title="new"),
        item("relaunched", at(0), created_at=at(0)),
        item("relaunched", at(4, 12), created_at=at(4, 12)),
        item("late", at(4, 6), price=7.0, created_at=at(4, 6)),
    ]
    fit = [event(f"b{n}", "a", "seen", at(0, n)) for n in range(3)]
    rest = [event("r", "b", "seen2", at(3, 12)), event("j", "b", "seen3", at(5) - 1)]
    root = tmp_path_factory.mktemp("past")
    (root / "split").mkdir()
    log = write_log(root / "log", [*fit, *rest], versions)
    windows = split(log, root / "split", SplitParams(min_targets=1), False)
    assert (windows.fit_end, windows.rank_end) == (at(3), at(4))
    return root / "split"


def test_a_request_sees_the_price_known_at_its_moment(built: Path) -> None:
    catalogue = load_catalogue(built)
    moments = [at(3), at(3, 12) - 1, at(3, 12), at(4, 12) - 1, at(4, 12)]
    prices = catalogue.at(np.array(moments)).price[:, catalogue.index["changes"]]
    np.testing.assert_array_equal(prices, [2.0, 2.0, 3.0, 3.0, np.nan])
    assert np.isnan(catalogue.price[catalogue.index["changes"]])


def test_an_item_withdrawn_or_relaunched_later_may_still_be_shown_before(built: Path) -> None:
    catalogue = load_catalogue(built)
    eligible = catalogue.eligible(np.array([at(4, 12) - 1, at(4, 12), at(4, 12) + MINUTE]))
    assert eligible[:, catalogue.index["changes"]].tolist() == [True, False, False]
    assert eligible[:, catalogue.index["relaunched"]].tolist() == [True, True, True]
    created = catalogue.at(np.array([at(4), at(5)])).created_at
    assert created[:, catalogue.index["relaunched"]].tolist() == [at(0), at(4, 12)]
    assert catalogue.eligible(np.array([at(4, 6) - 1]))[0, catalogue.index["late"]].item() is False


def test_only_what_a_query_can_see_and_what_changed_is_kept(built: Path) -> None:
    items = pq.read_table(built / "items.parquet")
    past = dict(zip(items["item_id"].to_pylist(), items["past"].to_pylist(), strict=True))
    assert [row["price"] for row in past["changes"]] == [2.0, 3.0]
    assert past["retitled"] is None
    assert past["seen"] is None


def test_the_text_of_the_fit_window_comes_from_no_later_version(built: Path) -> None:
    items = pq.read_table(built / "fit_items.parquet")
    titles = dict(zip(items["item_id"].to_pylist(), items["title"].to_pylist(), strict=True))
    assert titles["changes"] == "before the rank window"
    assert titles["retitled"] == "old"
    assert items["item_id"].equals(pq.read_table(built / "items.parquet")["item_id"])


def test_the_text_of_a_release_is_the_newest_known(built: Path) -> None:
    catalogue = load_catalogue(built)
    assert catalogue.titles[catalogue.index["changes"]] == "in the judge window"


def test_without_a_past_items_were_always_as_they_are(built: Path) -> None:
    catalogue = Catalogue.from_table(pq.read_table(built / "items.parquet").select(ITEM.names))
    state = catalogue.at(np.array([at(0), at(5)]))
    np.testing.assert_array_equal(state.price, np.stack([catalogue.price] * 2))
    assert not state.available[:, catalogue.index["changes"]].any()
    assert catalogue.at(np.zeros(0, dtype=np.int64)).price.shape == (0, len(catalogue))
