"""A space that cannot be searched gives a one-line error that names the key."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from base.params import ParamsError, build, load, read
from training.tuning.space import Section, Space, TuneParams, space

FIT = {"dropout": 0.3, "batch_tokens": 1024, "weight_decay": 0.01}


def of(axes: str, section: Section = "fit", content: dict[str, Any] = FIT) -> Space:
    params = build(TuneParams, "tune", {section: yaml.safe_load(axes)})
    return space(section, getattr(params, section), content)


@pytest.mark.parametrize("section", ["fit", "trees"])
def test_the_shipped_spaces_can_be_searched(checkout: Path, section: Section) -> None:
    path = checkout / "params.yaml"
    params = load(TuneParams, "tune", path)
    found = space(section, getattr(params, section), read(path)[section])
    assert found.present
    assert found.params(found.present) == found.params({})


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ("{depth: {low: 1, high: 2}}", "unknown key 'tune.fit.depth'; known: size, seed"),
        ("{dropout: {low: 0.5, high: 0.1}}", "'tune.fit.dropout': low 0.5 must not be above"),
        ("{dropout: {low: 0.1, high: 1.0}}", "'tune.fit.dropout' allows 1.0: 'fit.dropout' must"),
        ("{size: {choices: [tiny, huge]}}", "'tune.fit.size' allows 'huge': 'fit.size' must be"),
        ("{dropout: {low: 0.0, high: 0.2}}", "'tune.fit.dropout' leaves out the present value 0.3"),
        ("{dropout: {choices: [0.1]}}", "'tune.fit.dropout' leaves out the present value 0.3"),
        ("{weight_decay: {low: 0, high: 1, log: true}}", "'tune.fit.weight_decay': low must be ab"),
        ("{batch_tokens: {low: 1.5, high: 9}}", "'tune.fit.batch_tokens': low and high must be w"),
        ("{batch_tokens: {low: 0, high: 9}}", "'tune.fit.batch_tokens' allows 0: 'fit.batch_tok"),
        ("{dropout: {low: 0.1}}", "'tune.fit.dropout' needs low and high, or choices"),
        ("{dropout: {low: 0.1, choices: [0.3]}}", "'tune.fit.dropout' has a range and choices"),
        ("{dropout: {choices: []}}", "'tune.fit.dropout.choices' must be different values"),
        ("{dropout: {choices: [0.3, 0.3]}}", "'tune.fit.dropout.choices' must be different val"),
        ("{dropout: {choices: [[0.3]]}}", "'tune.fit.dropout.choices' must be numbers or words"),
        ("{size: {low: 1, high: 2}}", "'tune.fit.size' is not a number: list its choices"),
        ("{learning_rate: {low: 0.1, high: 1}}", "'tune.fit.learning_rate' is null now: list ch"),
        ("{learning_rate: {choices: [0.1]}}", "'tune.fit.learning_rate' leaves out the present v"),
        ("{dropout: {from: 0.1}}", "unknown key 'tune.fit.dropout.from'; known: low, high"),
        ("{tail_share: {low: 0.01, high: 0.1}}", "'tune.fit.tail_share' is not to be searched"),
        ("{seed: {low: 1, high: 9}}", "'tune.fit.seed' is not to be searched"),
        ("{}", "'tune.fit' is empty"),
    ],
)
def test_a_bad_space_is_one_line_that_names_the_key(axes: str, message: str) -> None:
    with pytest.raises(ParamsError) as caught:
        of(axes)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_null_may_be_a_choice() -> None:
    found = of("{learning_rate: {choices: [null, 0.001]}, dropout: {choices: [null, 0.3]}}")
    assert found.present == {"learning_rate": None, "dropout": 0.3}
    assert found.params({"dropout": None}).dropout is None


def test_a_setting_out_of_range_is_named() -> None:
    with pytest.raises(ParamsError, match=r"'tune\.trials' must be at least 1, not 0"):
        build(TuneParams, "tune", {"trials": 0})


def test_sampled_numbers_have_few_digits_and_stay_inside() -> None:
    found = of("{dropout: {low: 0.123456, high: 0.5}, batch_tokens: {low: 1, high: 12345}}")
    tidy = found.tidy({"dropout": 0.4100499, "batch_tokens": 12345})
    assert tidy == {"dropout": 0.41, "batch_tokens": 12345}
    assert found.tidy({"dropout": 0.1234561})["dropout"] == 0.1235
    assert found.tidy({"dropout": 0.123456})["dropout"] >= 0.123456


def test_present_values_are_never_rounded() -> None:
    found = of("{dropout: {low: 0.1, high: 0.5}}", content={"dropout": 0.3123456})
    assert found.tidy({"dropout": 0.3123456}) == {"dropout": 0.3123456}


def test_a_grid_has_every_combination_once() -> None:
    found = of(
        "{dropout: {low: 0.1, high: 0.5}, batch_tokens: {low: 256, high: 4096, log: true},"
        " size: {choices: [tiny, small]}}",
        content=FIT | {"size": "tiny"},
    )
    grid = found.grid(3, seed=1)
    assert {point["dropout"] for point in grid} == {0.1, 0.3, 0.5}
    assert {point["batch_tokens"] for point in grid} == {256, 1024, 4096}
    assert len({tuple(point.values()) for point in grid}) == len(grid) == 18
    assert found.grid(3, seed=1) == grid
    assert found.grid(3, seed=2) != grid
