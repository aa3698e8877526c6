import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from base.settings import Settings
from features.items.catalogue import Catalogue
from features.schema import ITEM
from tests.training.transformer.synthetic import (
    OPTIONS,
    PARAMS,
    catalogue,
    events,
    histories,
    item_table,
    write_split,
)
from training.fit import fit
from training.transformer.scorer import AttachedScorer, CatalogueMismatch, Scorer

ITEMS = 40


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    """A model of the chain, trained by the stage itself."""
    folder = tmp_path_factory.mktemp("fit")
    split = write_split(folder / "split", events(400, ITEMS, 20), item_table(ITEMS))
    params = dataclasses.replace(PARAMS, max_epochs=8, patience=8)
    fit(split, folder / "transformer", folder / "fit.json", params, OPTIONS, Settings())
    return Scorer.load(folder / "transformer")


@pytest.fixture(scope="module")
def attached(trained: Scorer) -> AttachedScorer:
    return trained.attach(catalogue(ITEMS))


def test_the_next_item_of_the_chain_is_ranked_first(attached: AttachedScorer) -> None:
    scores = attached.scores(*histories([3, 4, 5], [20, 21, 22, 23]))
    scores[0, [3, 4, 5]] = scores[1, [20, 21, 22, 23]] = -np.inf
    assert 6 in np.argsort(-scores[0])[:2]
    assert 24 in np.argsort(-scores[1])[:2]


def test_one_request_scores_as_it_does_in_a_batch(attached: AttachedScorer) -> None:
    rows = [[1, 2], [], [5], list(range(30)), [7, 8, 9, 10], list(range(16)), list(range(17))]
    batch = attached.scores(*histories(*rows))
    for row, items in enumerate(rows):
        alone = attached.scores(*histories(items))
        np.testing.assert_allclose(alone[0], batch[row], atol=1e-5, rtol=1e-5)


def test_an_empty_history_has_finite_scores_that_differ_by_item(attached: AttachedScorer) -> None:
    scores = attached.scores(*histories([]))
    assert scores.shape == (1, ITEMS)
    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0.01


def test_no_request_at_all_is_no_error(attached: AttachedScorer) -> None:
    assert attached.scores(*histories()).shape == (0, ITEMS)


def test_only_the_newest_events_count_in_a_long_history(attached: AttachedScorer) -> None:
    long, same_end = [0] * 20 + list(range(16)), [9] * 20 + list(range(16))
    scores = attached.scores(*histories(long, same_end))
    np.testing.assert_allclose(scores[0], scores[1], atol=1e-6)


def test_a_new_item_is_scored_by_its_content(trained: Scorer) -> None:
    items = item_table(ITEMS + 2).to_pylist()
    items[ITEMS]["categories"], items[ITEMS]["title"] = ["topic 2"], "Thing"
    items[ITEMS + 1]["categories"], items[ITEMS + 1]["title"] = ["topic 7"], "Thing"
    grown = Catalogue.from_table(pa.Table.from_pylist(items, schema=ITEM))
    scores = trained.attach(grown).scores(*histories([9, 10, 11]))[0]
    assert scores[ITEMS] > scores[ITEMS + 1]


def test_items_of_the_first_catalogue_keep_their_scores_in_a_longer_one(trained: Scorer) -> None:
    short = trained.attach(catalogue(ITEMS)).items
    np.testing.assert_array_equal(trained.attach(catalogue(ITEMS + 5)).items[:ITEMS], short)


def test_a_catalogue_in_another_order_is_refused(trained: Scorer) -> None:
    with pytest.raises(CatalogueMismatch, match="not those"):
        trained.attach(catalogue(ITEMS - 5))


def test_the_time_of_the_request_matters(attached: AttachedScorer) -> None:
    history, times = histories([1, 2, 3])
    assert not np.allclose(
        attached.scores(history, times), attached.scores(history, times + 30 * 86_400_000_000)
    )
