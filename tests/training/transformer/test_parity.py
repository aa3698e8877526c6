"""A state in a packed training row equals the state that serving computes for the same past."""

import numpy as np
import torch

from tests.training.transformer.synthetic import CLICK, START
from training.transformer.data import Tokens, tokens_from
from training.transformer.model import ModelConfig, Transformer
from training.transformer.packing import Epoch
from training.transformer.scorer import encode

ITEMS, LENGTH = 30, 16


def log() -> Tokens:
    """Short histories with ties, gaps under a second and gaps of months."""
    random = np.random.default_rng(4)
    lengths = random.integers(1, LENGTH + 1, size=40)
    users = np.repeat(np.arange(40, dtype=np.int32), lengths)
    gaps = random.choice([0, 1, 400_000, 1_700_000, 90_000_000, 10**13], size=len(users))
    return tokens_from(
        users,
        random.integers(0, ITEMS, len(users)).astype(np.int32),
        np.full(len(users), CLICK, dtype=np.int8),
        START + np.cumsum(gaps),
        repeats=True,
    )


def model() -> Transformer:
    """A model with random tables of both biases, since zeros would hide a difference."""
    torch.manual_seed(0)
    config = ModelConfig(ITEMS, 32, 2, 2, LENGTH, 4, time_bias=True, distance_bias=True)
    made = Transformer(config).eval().requires_grad_(False)
    for table in made.bias.parameters():
        torch.nn.init.normal_(table)
    return made


def served(
    of: Transformer, table: torch.Tensor, tokens: Tokens, events: np.ndarray
) -> torch.Tensor:
    """States for requests at the times of `events`, from what came strictly before."""
    past = tokens.before(tokens.moments_of(events))
    return encode(of, table, past, tokens.timestamps[events])


def test_with_both_biases_training_and_serving_agree() -> None:
    tokens, transformer = log(), model()
    content = torch.randn(ITEMS, 4), torch.arange(ITEMS)
    table = transformer.table(*content)
    expected = served(transformer, table, tokens, np.arange(len(tokens)))
    compared = 0
    for batch in Epoch(tokens, LENGTH, 128, 1, 0):
        states, _ = transformer(batch, *content)
        for state, target in zip(states, batch.targets.tolist(), strict=True):
            # An event is found again by its item and its state: which user's it is, is not told.
            same = torch.from_numpy(np.flatnonzero(tokens.items == target))
            nearest = (expected[same] - state).abs().amax(dim=1).min()
            assert float(nearest) < 1e-5
            compared += 1
    assert compared == len(tokens)


def test_a_later_event_changes_no_earlier_state() -> None:
    tokens, transformer = log(), model()
    table = transformer.table(torch.randn(ITEMS, 4), torch.arange(ITEMS))
    events = np.arange(len(tokens))
    before = served(transformer, table, tokens, events)
    last = tokens.offsets[1:] - 1
    changed = tokens.items.copy()
    changed[last] = (changed[last] + 1) % ITEMS
    other = Tokens(tokens.offsets, changed, tokens.event_types, tokens.timestamps, tokens.wanted)
    assert torch.equal(before, served(transformer, table, other, events))
