"""Models that went wrong: what the gate says of their releases."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import load_file, save_file

from flows.workspace import Workspace
from tests.flows.rivals import Rivals
from tests.planted.runs import (
    WARNINGS,
    Installation,
    Tally,
    copy,
    judge_stage,
    package_stage,
    release,
    train,
)

pytestmark = [pytest.mark.slow, *WARNINGS]


@pytest.fixture
def place(rivals: Rivals, tmp_path: Path) -> Workspace:
    """A workspace whose release is promoted, if nothing is planted."""
    return copy(rivals.equal, tmp_path / "place")


def test_without_a_plant_the_release_is_promoted(
    installation: Installation, place: Workspace
) -> None:
    judgement = installation.judge(place)
    assert judgement.verdict.decision == "promote", judgement.verdict.reasons


def test_a_trained_release_is_promoted_in_an_empty_home(
    empty_home: Installation, place: Workspace
) -> None:
    train(place)
    release(place)
    judgement = empty_home.judge(place)
    assert judgement.verdict.decision == "promote", judgement.verdict.reasons


def neighbours(place: Workspace) -> Path:
    return place.root / "data" / "candidates" / "sources" / "neighbours.safetensors"


def test_weights_that_are_not_numbers(
    installation: Installation, place: Workspace, tally: Tally
) -> None:
    weights = load_file(neighbours(place))
    weights["weights"][::2] = np.nan
    save_file(weights, neighbours(place))
    with pytest.raises(ValueError, match="scores hold NaN"):
        judge_stage(place)
    package_stage(place)
    judgement = installation.judge(place)
    tally.verdict("NaN weights", judgement, "release.finite", "NaN or infinite")
    assert judgement.verdict.decision == "reject"


def test_item_ids_permuted_between_training_and_packaging(
    installation: Installation, place: Workspace, tally: Tally
) -> None:
    weights = load_file(neighbours(place))
    other = np.random.default_rng(1).permutation(len(weights["items"]))
    save_file({name: values[other] for name, values in weights.items()}, neighbours(place))
    package_stage(place)
    judgement = installation.judge(place)
    tally.verdict("permuted item ids", judgement, "release.parity", "in training")


def test_labels_inverted(installation: Installation, place: Workspace, tally: Tally) -> None:
    def invert(found: Path) -> None:
        table = pq.read_table(found / "rank.parquet")
        label = pa.array(1 - table["label"].to_numpy(), pa.int8())
        place_of = table.schema.get_field_index("label")
        pq.write_table(table.set_column(place_of, "label", label), found / "rank.parquet")

    train(place, invert)
    release(place)
    judgement = installation.judge(place)
    tally.verdict("labels inverted", judgement, "popularity", "recency-popularity")


def test_popularity_collapse(installation: Installation, rivals: Rivals, tally: Tally) -> None:
    judgement = installation.judge(rivals.worse)
    tally.verdict("popularity collapse", judgement, "output.distinct_items")
