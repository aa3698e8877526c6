"""Tokens on disk, and the arrays that are derived from them a few events at a time."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from features.schema import SECOND
from tests.training.transformer.synthetic import OPTIONS, PARAMS, START, events
from training.transformer import data, trainer
from training.transformer.data import DTYPES, FitError, Tokens, tokens_from
from training.transformer.tail import lazy_candidates, split_tail

ITEMS = 40


def log(repeats: bool = True, seed: int = 0) -> Tokens:
    columns = events(60, ITEMS, 20, seed)
    columns["timestamp"] = columns["timestamp"] // (150 * SECOND) * (150 * SECOND)
    return tokens_from(
        columns["user"], columns["item"], columns["event_type"], columns["timestamp"], repeats
    )


def same(one: Tokens, other: Tokens) -> bool:
    return all(np.array_equal(vars(one)[name], vars(other)[name]) for name in DTYPES)


def test_what_is_saved_is_opened_as_it_was(tmp_path: Path) -> None:
    tokens = log(repeats=False)
    tokens.save(tmp_path / "log")
    opened = Tokens.open(tmp_path / "log")
    assert same(opened, tokens)
    assert all(vars(opened)[name].dtype == dtype for name, dtype in DTYPES.items())
    assert not opened.items.flags.writeable


def test_a_log_can_be_written_piece_by_piece(tmp_path: Path) -> None:
    tokens = log()
    written = Tokens.create(tmp_path, tokens.offsets)
    for part in (slice(0, 100), slice(100, None)):
        for name in DTYPES:
            if name != "offsets":
                vars(written)[name][part] = vars(tokens)[name][part]
    assert same(Tokens.open(tmp_path), tokens)


def test_a_folder_that_holds_no_tokens_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FitError, match=r"holds no tokens: offsets\.npy is missing"):
        Tokens.open(tmp_path / "absent")
    log().save(tmp_path)
    (tmp_path / "items.npy").write_bytes(b"items")
    with pytest.raises(FitError, match=r"items\.npy is missing or unreadable"):
        Tokens.open(tmp_path)
    np.save(tmp_path / "items.npy", np.zeros(len(log())))
    with pytest.raises(FitError, match="list of int32"):
        Tokens.open(tmp_path)
    np.save(tmp_path / "items.npy", np.zeros(3, dtype=np.int32))
    with pytest.raises(FitError, match="different lengths"):
        Tokens.open(tmp_path)


@pytest.mark.parametrize("negatives", [0, 10])
def test_training_from_files_gives_the_weights_of_training_from_memory(
    tmp_path: Path, negatives: int
) -> None:
    tokens = log()
    train, tail = split_tail(tokens, np.ones(len(tokens), dtype=bool), 0.1, 100)
    train.save(tmp_path / "log")
    text = np.random.default_rng(0).normal(size=(ITEMS + 2, 8)).astype(np.float32)
    allowed = lazy_candidates(tail, np.zeros(len(text), dtype=np.int64), repeats=True)
    params = dataclasses.replace(PARAMS, max_epochs=2, negatives=negatives)
    fitted = [
        trainer.fit(tokens, tail, allowed, text, params, OPTIONS, tmp_path / name, False)
        for name, tokens in (("a", train), ("b", Tokens.open(tmp_path / "log")))
    ]
    assert fitted[0].ndcg == fitted[1].ndcg
    assert fitted[0].losses == fitted[1].losses
    assert all(
        np.array_equal(fitted[0].weights[name], fitted[1].weights[name])
        for name in fitted[0].weights
    )


def test_a_moment_is_that_of_its_first_event_of_the_same_user() -> None:
    tokens = tokens_from(
        np.array([0, 0, 0, 1, 1, 3], dtype=np.int32),
        np.arange(6, dtype=np.int32),
        np.zeros(6, dtype=np.int8),
        START + np.array([1, 5, 5, 5, 5, 5], dtype=np.int64) * SECOND,
        repeats=True,
    )
    assert tokens.users_of(np.arange(6)).tolist() == [0, 0, 0, 1, 1, 2]
    assert tokens.moments_of(np.arange(6)).tolist() == [0, 1, 1, 3, 3, 5]
    assert tokens.moments_of(np.array([4, 2])).tolist() == [3, 1]


def test_users_without_a_selected_event_are_dropped() -> None:
    tokens = log()
    keep = np.random.default_rng(0).random(len(tokens)) < 0.2
    chosen = tokens.select(keep)
    users = tokens.users_of(np.flatnonzero(keep))
    assert len(chosen.offsets) - 1 == len(np.unique(users))
    assert np.array_equal(np.diff(chosen.offsets), np.unique(users, return_counts=True)[1])
    assert np.array_equal(chosen.items, tokens.items[keep])


@pytest.mark.parametrize("size", [1, 7, 100])
def test_what_is_looked_at_in_pieces_does_not_depend_on_their_size(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    whole = log(repeats=False)
    monkeypatch.setattr(data, "CHUNK_EVENTS", size)
    pieces = log(repeats=False)
    assert 0 < whole.wanted.sum() <= len(whole)
    assert np.array_equal(pieces.wanted, whole.wanted)
    assert np.array_equal(pieces.counts(ITEMS), np.bincount(whole.items, minlength=ITEMS))
