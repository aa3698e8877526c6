"""The options that the benchmarks of training share."""

import argparse
from typing import Any

import yaml

from features.errors import InputError
from features.params import build
from training.transformer.config import TransformerParams


class OptionError(InputError):
    """An option that cannot be used, or would make a benchmark unfair; the message says why."""


def add_set(parser: argparse.ArgumentParser) -> None:
    """`--set KEY=VALUE`, any number of times."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help="change a value of section `fit`, such as dropout=0.2")  # fmt: skip


def changes(texts: list[str]) -> dict[str, Any]:
    """Keys to values of texts KEY=VALUE, values as YAML."""
    return {key: yaml.safe_load(value) for key, _, value in (t.partition("=") for t in texts)}


def fit_params(values: dict[str, Any]) -> TransformerParams:
    """Section `fit` from these values; raises OptionError for a wrong one."""
    try:
        return build(TransformerParams, "fit", values)
    except ValueError as error:
        raise OptionError(str(error)) from None
