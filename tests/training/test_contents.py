"""Text and categories as known at a request, as if the catalogue were built for each request."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from features.items.catalogue import PASTS, Catalogue
from features.items.contents import Contents
from features.items.identity import digest
from features.requests.requests import Requests
from features.requests.training_set import load_catalogue
from features.schema import ITEM
from features.splits.split import split
from features.splits.windowing import SplitParams
from tests.features.logs import at, event, item, table, write_log
from tests.training import market
from training.judging import judge_scores
from training.rank_features import FEATURES
from training.recommender import Recommender
from training.sources.transformer import TransformerSource
from training.transformer.model import ModelConfig, Transformer
from training.transformer.scorer import Scorer

ITEMS = market.ITEMS
LISTS = market.random_lists(24)
WORDS = [f"word{n}" for n in range(40)]


def versions(seed: int = 5) -> list[dict[str, Any]]:
    """A first version of every item, and edits of a third of them from day 3 to 5; a category of
    the first versions that no later one has, and the other way round."""
    random = np.random.default_rng(seed)

    def content(names: list[str]) -> dict[str, Any]:
        words = random.choice(WORDS, 5, replace=False)
        chosen = random.choice(names, 2, replace=False).tolist()
        return {"title": " ".join(words), "description": str(words[0]), "categories": chosen}

    old, new = ["a", "b", "c", "gone"], ["a", "b", "c", "came"]
    names = [f"i{n:02d}" for n in range(ITEMS)]
    rows = [item(name, at(0), created_at=at(0), price=2.0, **content(old)) for name in names]
    for name in names[::3]:
        for moment in np.sort(random.integers(at(2), at(5), 3)).tolist():
            rows.append(item(name, moment, created_at=at(0), price=2.0, **content(new)))
    return rows


def log_split(root: Path, items: list[dict[str, Any]]) -> Path:
    fit = [event(f"b{n}", "a", "i00", at(0, n)) for n in range(3)]
    rest = [event("r", "b", "i01", at(3, 12)), event("j", "b", "i02", at(5) - 1)]
    out = root / "split"
    out.mkdir(parents=True)
    split(write_log(root / "log", [*fit, *rest], items), out, SplitParams(min_targets=1), False)
    return out


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    return load_catalogue(log_split(tmp_path_factory.mktemp("contents"), versions()))


@pytest.fixture(scope="module")
def requests() -> Requests:
    """Requests spread over the two windows, in no order."""
    asked = market.requests(LISTS)
    moments = np.random.default_rng(6).integers(at(3), at(5), len(asked))
    shift = (moments - market.NOW)[asked.histories.rows]
    histories = replace(asked.histories, timestamps=asked.histories.timestamps + shift)
    return replace(asked, timestamps=moments, histories=histories)


def recommender(of: Catalogue) -> Recommender:
    torch.manual_seed(1)
    config = ModelConfig(50, embedding_size=16, num_layers=1, num_heads=2, max_length=10)
    model = Transformer(config).eval().requires_grad_(False)
    first = TransformerSource(Scorer(model, torch.arange(50), 50, digest(of.item_ids[:50])))
    others = market.sources(of)
    return Recommender(of, replace(others, parts=(first, *others.parts)), None)


def known(rows: list[dict[str, Any]], order: list[str], moment: int) -> Catalogue:
    """A catalogue built only from what was received by `moment`.

    An item unknown by then has its first version.
    """
    found = []
    for name in order:
        own = sorted((r for r in rows if r["item_id"] == name), key=lambda r: r["received_at"])
        found.append(([own[0], *(r for r in own if r["received_at"] <= moment)])[-1])
    return Catalogue.from_table(table(found, ITEM))


def test_every_request_is_scored_as_over_the_items_received_by_then(
    catalogue: Catalogue, requests: Requests
) -> None:
    fast = recommender(catalogue)
    every = np.tile(np.arange(ITEMS, dtype=np.int32), (len(requests), 1))
    ranked, features = fast.rank(requests), fast.describe(requests, every)
    scores = fast.scores_of("transformer", requests)
    order = [str(name) for name in catalogue.item_ids]
    now = recommender(replace(catalogue, older=Contents.none())).describe(requests, every)
    ranks = np.array([name.endswith("_rank") for name in FEATURES])
    differed = 0
    for row in range(len(requests)):
        one = requests.select(np.array([row]))
        slow = recommender(known(versions(), order, int(one.timestamps[0])))
        alone = slow.rank(one)
        present = ranked.candidates[row] >= 0
        np.testing.assert_array_equal(ranked.candidates[row][present], alone.candidates[0])
        np.testing.assert_allclose(ranked.scores[row][present], alone.scores[0], atol=1e-6)
        np.testing.assert_allclose(scores[row], slow.scores_of("transformer", one)[0], atol=1e-6)
        wanted = slow.describe(one, every[:1])[0]
        # Of equal scores, rounding decides which is ahead: ranks may differ by such a place.
        np.testing.assert_allclose(features[row][:, ranks], wanted[:, ranks], atol=1)
        np.testing.assert_allclose(features[row][:, ~ranks], wanted[:, ~ranks], 1e-5, 1e-5)
        differed += not np.allclose(now[row], wanted, rtol=1e-3, atol=1e-3, equal_nan=True)
    assert differed > len(requests) // 2, "the log's edits change nothing: it shows nothing"


def test_an_edit_after_the_judged_moment_changes_no_judged_score(
    tmp_path: Path, requests: Requests
) -> None:
    """The edit makes the chosen item read like the last one of the user's history."""
    before = versions()
    row = next(n for n, items in enumerate(LISTS) if len(items) > 3)
    asked = requests.select(np.array([row]))
    asked = replace(asked, timestamps=np.array([at(4, 20)]))
    target = next(n for n in range(ITEMS) if n not in LISTS[row] and n != 3)
    like = known(before, [f"i{LISTS[row][-1]:02d}"], at(4, 20)).titles[0]
    reveals = item(
        f"i{target:02d}", at(4, 20) + 1, created_at=at(0), price=2.0, title=like, categories=["a"]
    )
    plain = load_catalogue(log_split(tmp_path / "plain", before))
    edited = load_catalogue(log_split(tmp_path / "edited", [*before, reveals]))
    assert plain.item_ids.tolist() == [f"i{n:02d}" for n in range(ITEMS)]
    found = [recommender(each).scores_of("transformer", asked) for each in (plain, edited)]
    np.testing.assert_array_equal(*found)
    ranked = [recommender(each).rank(asked) for each in (plain, edited)]
    np.testing.assert_allclose(ranked[1].features, ranked[0].features, rtol=1e-5, atol=1e-5)
    queries = replace(market.queries([LISTS[row]], [[target]]), requests=asked)
    metrics = [judge_scores(queries, r.scores, 10, r.candidates).metrics for r in ranked]
    for name, values in metrics[0].items():
        np.testing.assert_array_equal(metrics[1][name], values)
    later = replace(asked, timestamps=asked.timestamps + 1)
    after = [
        recommender(each).scores_of("transformer", later)[0, target] for each in (plain, edited)
    ]
    assert after[0] != after[1]


def test_without_edits_nothing_is_kept_and_the_same_arrays_are_scored(tmp_path: Path) -> None:
    again = [row | {"received_at": at(4)} for row in versions()[:ITEMS]]
    folder = log_split(tmp_path, [*versions()[:ITEMS], *again])
    assert pq.read_table(folder / "items.parquet")["past_content"].null_count == ITEMS
    found = load_catalogue(folder)
    assert found.all_text is found.text
    assert found.all_categories is found.categories
    seen = found.seen(np.array([at(3), at(4)]))
    scores = np.ones((2, ITEMS), dtype=np.float32)
    assert seen.scores(scores) is scores


def test_only_edits_within_the_windows_are_kept(catalogue: Catalogue) -> None:
    assert catalogue.older.until.min() > at(3)
    count = sum(at(3) < row["received_at"] for row in versions())
    assert len(catalogue.older) == count
    assert {"gone", "came"} <= set(catalogue.category_names)


def test_a_split_of_before_contents_were_kept_still_loads(tmp_path: Path) -> None:
    items = pq.read_table(log_split(tmp_path, versions()) / "items.parquet")
    old = Catalogue.from_table(items.drop_columns(["past_content"]))
    assert len(old.older) == 0
    assert len(Catalogue.from_table(items.drop_columns(list(PASTS))).older) == 0
    assert isinstance(items["past_content"], pa.ChunkedArray)
