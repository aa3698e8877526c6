"""The published protocol: the last item is the test, the one before it validation."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.sequences import (
    Sequences,
    SequencesError,
    lazy_unseen,
    leave_out,
    read,
    some,
    split,
    unseen,
)

LINES = "u2 a\nu1 a\nu1 b\nu2 c\nu1 c\nu1 d\nu2 a\nu3 b\nu3 d\n"


@pytest.fixture
def sequences(tmp_path: Path) -> Sequences:
    (tmp_path / "some.txt").write_text(LINES)
    return read(tmp_path / "some.txt")


def test_a_users_lines_keep_their_order(sequences: Sequences) -> None:
    assert sequences.catalogue == 4
    a, b, c, d = 0, 1, 2, 3
    assert sequences.lengths.tolist() == [3, 4, 2]
    assert sequences.items.tolist() == [a, c, a, a, b, c, d, b, d]


def test_tabs_separate_as_well_as_spaces(tmp_path: Path, sequences: Sequences) -> None:
    (tmp_path / "tabs.tsv").write_text(LINES.replace(" ", "\t"))
    assert read(tmp_path / "tabs.tsv").items.tolist() == sequences.items.tolist()


def test_weights_never_see_the_last_two_items_but_the_test_input_holds_one_of_them(
    sequences: Sequences,
) -> None:
    train, validation = leave_out(sequences, 2)
    assert train.items.tolist() == [0, 0, 1, 1, 3]  # of u2, u1, and all of u3, who is too short
    assert validation.targets.items.tolist() == [2, 2]
    assert validation.histories.items.tolist() == [0, 0, 1]
    test = leave_out(sequences, 1)[1]
    assert test.targets.items.tolist() == [0, 3]
    assert test.histories.items.tolist() == [0, 2, 0, 1, 2]
    assert (np.diff(train.timestamps)[[1]] > 0).all()


def test_rolling_targets_stop_before_the_test_item_and_are_learned_from_by_nobody(
    ring: Path,
) -> None:
    sequences = read(ring)
    train, validation, judged = split(sequences, 2)
    rows = np.split(sequences.items, sequences.offsets[1:-1])
    asked = [row for row in rows if len(row) >= 4]
    assert [tail.targets.items.tolist() for tail in judged] == [
        [row[-2] for row in asked],
        [row[-3] for row in asked],
    ]
    assert validation.targets.items.tolist() == judged[1].targets.items.tolist()
    assert len(train) == sum(len(row) - 3 if len(row) >= 4 else len(row) for row in rows)
    assert len(judged[0].histories.items) == sum(len(row) - 2 for row in asked)
    published = split(sequences, 0)
    assert published[2][0].targets.items.tolist() == [row[-1] for row in rows]
    assert published[1].targets.items.tolist() == [row[-2] for row in rows]


def test_the_whole_history_is_seen_and_the_target_never(sequences: Sequences) -> None:
    test = leave_out(sequences, 1)[1]
    assert unseen(test, 4).tolist() == [[True, True, False, True], [False, False, False, True]]


def test_what_is_unseen_is_made_a_few_rows_at_a_time(sequences: Sequences) -> None:
    test = leave_out(sequences, 1)[1]
    assert lazy_unseen(test, 4)[1:].tolist() == [[False, False, False, True]]


def test_some_queries_are_spread_over_the_users(sequences: Sequences) -> None:
    test = leave_out(sequences, 1)[1]
    assert some(test, 1).targets.items.tolist() == [0]
    assert some(test, 5) is test


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not `user item` lines"),
        ("u1 a b\nu1 b\n", "not `user item` lines"),
        ("u1 a\nu1 a\nu1 a\n", "1 items: nothing to choose between"),
        ("u1 a\nu1 b\nu2 a\n", "no user has 3 items"),
    ],
)
def test_a_file_without_sequences_is_one_clear_line(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "bad.txt").write_text(text)
    with pytest.raises(SequencesError, match=reason):
        read(tmp_path / "bad.txt")


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(SequencesError, match="no such file"):
        read(tmp_path / "absent.txt")
