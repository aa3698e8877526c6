"""The sampled softmax, compared with a plain computation, and what it learns."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from base.settings import Settings
from tests.training.transformer.synthetic import (
    OPTIONS,
    PARAMS,
    events,
    item_table,
    write_split,
)
from training.fit import fit
from training.transformer import loss
from training.transformer.config import TransformerParams
from training.transformer.data import Tokens, tokens_from
from training.transformer.loss import cross_entropy, sampled_cross_entropy
from training.transformer.packing import Epoch
from training.transformer.recipe import Recipe
from training.transformer.sampling import Drawn, InBatch, sampler_of

ITEMS, STATES = 90, 700


def problem() -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(3)
    states = torch.randn(STATES, 32, generator=random).requires_grad_()
    items = torch.randn(ITEMS, 32, generator=random).mul(0.3).requires_grad_()
    return states, items, torch.randint(0, ITEMS, (STATES,), generator=random)


def recipe(**values: Any) -> Recipe:
    return Recipe.of(TransformerParams(**values), events=1000, items=ITEMS)


def log_of_items() -> Tokens:
    columns = events(200, ITEMS, 30)
    return tokens_from(
        columns["user"], columns["item"], columns["event_type"], columns["timestamp"], repeats=True
    )


def naive(
    states: Tensor, items: Tensor, targets: Tensor, negatives: Tensor, log_chances: Tensor
) -> Tensor:
    """The same, computed row by row from the definition."""
    rows = []
    for state, target in zip(states, targets, strict=True):
        others = negatives != target
        scores = items[negatives[others]] @ state - log_chances[others]
        rows.append(F.cross_entropy(torch.cat([items[target][None] @ state, scores]), _FIRST))
    return torch.stack(rows).sum()


_FIRST = torch.tensor(0)


@pytest.mark.parametrize("elements", [20, 3000, 10**6])
def test_value_and_gradients_are_those_of_the_formula(
    monkeypatch: pytest.MonkeyPatch, elements: int
) -> None:
    monkeypatch.setattr(loss, "CHUNK_ELEMENTS", elements)
    states, items, targets = problem()
    negatives = torch.arange(0, ITEMS, 4)
    log_chances = -torch.rand(len(negatives))
    assert set(negatives.tolist()) & set(targets.tolist())
    ours = sampled_cross_entropy(states, items, targets, negatives, log_chances)
    theirs = naive(states, items, targets, negatives, log_chances)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(
        torch.autograd.grad(ours / STATES, (states, items)),
        torch.autograd.grad(theirs / STATES, (states, items)),
        rtol=1e-4,
        atol=1e-7,
    )


def test_a_sample_of_all_items_gives_the_exact_loss_and_gradients() -> None:
    states, items, targets = problem()
    ours = sampled_cross_entropy(states, items, targets, torch.arange(ITEMS), torch.zeros(ITEMS))
    exact = cross_entropy(states, items, targets)
    torch.testing.assert_close(ours, exact)
    torch.testing.assert_close(
        torch.autograd.grad(ours / STATES, (states, items)),
        torch.autograd.grad(exact / STATES, (states, items)),
        rtol=1e-4,
        atol=1e-7,
    )


def test_in_bf16_it_is_right_to_the_format_s_precision() -> None:
    states, items, targets = problem()
    negatives, log_chances = torch.arange(0, ITEMS, 2), torch.full((ITEMS // 2,), -0.7)
    with torch.autocast("cpu", torch.bfloat16):
        ours = sampled_cross_entropy(states, items, targets, negatives, log_chances)
    theirs = naive(states, items, targets, negatives, log_chances)
    torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=0)
    pairs = zip(
        torch.autograd.grad(ours, (states, items)),
        torch.autograd.grad(theirs, (states, items)),
        strict=True,
    )
    assert all(float((a - b).norm() / b.norm()) < 0.01 for a, b in pairs)


def test_an_overflow_is_not_hidden() -> None:
    states, items, targets = problem()
    wrong = sampled_cross_entropy(
        states * torch.inf, items, targets, torch.arange(9), torch.zeros(9)
    )
    assert not torch.isfinite(wrong)


def test_a_sample_of_nothing_but_the_target_teaches_nothing() -> None:
    states, items, _ = problem()
    ours = sampled_cross_entropy(
        states, items, torch.zeros(STATES, dtype=torch.int64), torch.tensor([0]), torch.zeros(1)
    )
    assert float(ours.detach()) == 0
    assert float(torch.autograd.grad(ours, states)[0].abs().max()) == 0


def sums(draws: int, count: int = 2000) -> tuple[np.ndarray, float]:
    """(the estimates of a softmax's sum over all items by `count` samples, the sum)."""
    random = np.random.default_rng(0)
    odds = np.exp(random.normal(size=ITEMS))
    sampler = Drawn.of(random.integers(1, 1000, size=ITEMS), draws, seed=1)
    batch = next(iter(Epoch(log_of_items(), 16, 64, 1, 0)))
    found = []
    for step in range(count):
        sample = sampler.sample(batch, 0, step).sample
        assert sample is not None
        drawn = sample.rows[sample.negatives].numpy()
        assert len(np.unique(drawn)) == len(drawn) <= draws
        found.append((odds[drawn] / np.exp(sample.log_chances.numpy())).sum())
    return np.array(found), float(odds.sum())


@pytest.mark.parametrize("draws", [5, 40])
def test_the_sum_over_the_catalogue_is_right_on_average(draws: int) -> None:
    found, exact = sums(draws)
    error = found.std() / np.sqrt(len(found))
    assert abs(found.mean() - exact) < 4 * error
    assert error < 0.02 * exact


def test_the_estimate_comes_closer_the_more_is_drawn_until_it_is_exact() -> None:
    deviations = []
    for draws in (5, 40, 320):
        found, exact = sums(draws, 200)
        deviations.append(float(np.abs(found / exact - 1).mean()))
    assert deviations[0] > 2 * deviations[1] > 4 * deviations[2]
    found, exact = sums(100_000, 3)
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_rows_hold_all_that_a_step_reads_and_asks_for() -> None:
    log = log_of_items()
    sampler = Drawn.of(log.counts(ITEMS), 8, seed=1)
    for step, batch in enumerate(Epoch(log, 16, 64, 1, 0)):
        sampled = sampler.sample(batch, 0, step)
        assert sampled.sample is not None
        rows = sampled.sample.rows
        assert len(rows) < ITEMS
        assert torch.equal(rows[sampled.targets], batch.targets)
        items = sampled.inputs.items
        back = torch.where(items < 0, items, rows[items.clamp(min=0)])
        assert torch.equal(back, batch.inputs.items)


def test_devices_that_share_a_step_draw_the_same() -> None:
    log = log_of_items()
    sampler = Drawn.of(log.counts(ITEMS), 8, seed=1)
    drawn = []
    for rank in (0, 1):
        batch = next(iter(Epoch(log, 16, 256, 1, 0, rank, 2)))
        sample = sampler.sample(batch, 3, 5).sample
        assert sample is not None
        drawn.append(sample.rows[sample.negatives].tolist())
    assert drawn[0] == drawn[1]


def test_targets_of_a_step_are_each_other_s_negatives_on_all_devices() -> None:
    log = log_of_items()
    sampler = InBatch(log.counts(ITEMS) / len(log))
    whole = next(iter(Epoch(log, 16, 256, 1, 0)))
    for rank in (0, 1):
        batch = next(iter(Epoch(log, 16, 256, 1, 0, rank, 2)))
        sample = sampler.sample(batch, 0, 0).sample
        assert sample is not None
        assert torch.equal(sample.rows[sample.negatives], torch.unique(whole.targets))


def test_how_often_an_item_is_among_a_step_s_targets_is_known() -> None:
    shares = np.array([0.4, 0.3, 0.2, 0.06, 0.04])
    batch = next(iter(Epoch(log_of_items(), 16, 64, 1, 0)))
    random = np.random.default_rng(0)
    seen = np.zeros(5)
    for _ in range(3000):
        drawn = random.choice(5, size=12, p=shares)
        none = batch.inputs._replace(items=torch.full_like(batch.inputs.items, -1))
        step = batch._replace(inputs=none, targets=torch.from_numpy(drawn), all_targets=drawn)
        sample = InBatch(shares).sample(step, 0, 0).sample
        assert sample is not None
        seen[sample.rows[sample.negatives].numpy()] += 1 / np.exp(sample.log_chances.numpy())
    np.testing.assert_allclose(seen / 3000, 1, atol=0.1)


def test_the_chance_to_be_a_negative_is_that_of_a_target_not_of_an_event() -> None:
    columns = events(200, ITEMS, 30)
    again = np.resize(columns["item"][:5], len(columns["item"]))  # five items that come back
    items = np.where(np.arange(len(again)) % 2, again, columns["item"]).astype(np.int32)
    log = tokens_from(
        columns["user"], items, columns["event_type"], columns["timestamp"], repeats=False
    )
    vocabulary = np.flatnonzero(log.counts(ITEMS))
    sampler = sampler_of(recipe(loss="contrastive"), log, vocabulary)
    assert isinstance(sampler, InBatch)
    targets = np.bincount(items[log.wanted], minlength=ITEMS)[vocabulary]
    assert (targets < log.counts(ITEMS)[vocabulary]).any()
    np.testing.assert_allclose(sampler.shares, targets / targets.sum())


def test_losses_of_single_scores_draw_all_items_alike() -> None:
    log = log_of_items()
    sampler = sampler_of(recipe(loss="bce"), log, np.arange(ITEMS))
    assert isinstance(sampler, Drawn)
    np.testing.assert_allclose(np.diff(sampler.cumulative), 1 / ITEMS)


def test_the_exact_softmax_needs_no_sampler() -> None:
    assert sampler_of(recipe(), log_of_items(), np.arange(ITEMS)) is None


@pytest.mark.parametrize(
    "chosen",
    [
        {"negatives": 12},
        {"loss": "contrastive"},
        {"loss": "bce"},
        {"loss": "gbce", "negatives": 12},
        {"loss": "mse"},
    ],
    ids=str,
)
def test_every_loss_beats_popularity_where_order_matters(
    tmp_path: Path, chosen: dict[str, Any]
) -> None:
    write_split(tmp_path / "split", events(300, 40, 20), item_table(40))
    params = dataclasses.replace(PARAMS, max_epochs=15, patience=15, **chosen)
    out = tmp_path / "fit.json"
    fit(tmp_path / "split", tmp_path / "model", out, params, OPTIONS, Settings())
    metrics = json.loads(out.read_text())
    assert metrics["ndcg@10"] > 2 * metrics["popularity_ndcg@10"]
