"""The options shared by the training benchmarks."""

import argparse
from typing import Any

import yaml

from base.errors import InputError
from base.params import build
from training.transformer.config import RunOptions, TransformerParams


class OptionError(InputError):
    """An option cannot be used, or would make a benchmark unfair. The message says why."""


def add_set(parser: argparse.ArgumentParser, section: str = "section `fit`") -> None:
    """Add `--set KEY=VALUE`, which may be given several times."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help=f"change a value of {section}, such as dropout=0.2")  # fmt: skip


def changes(texts: list[str]) -> dict[str, Any]:
    """Parse texts KEY=VALUE, with values as YAML. Raises OptionError for other texts."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        try:
            found[key] = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not equals:
            raise OptionError(f"--set {text}: not of the form KEY=VALUE")
    return found


def run_options() -> RunOptions:
    """Options from the environment.

    By default the fastest number format, and no learning curves.
    """
    options = RunOptions(logger="none")
    if "precision" in options.model_fields_set:
        return options
    return options.model_copy(update={"precision": "auto"})


def fit_params(values: dict[str, Any]) -> TransformerParams:
    """Section `fit` with these values. Raises ParamsError for an invalid one."""
    return build(TransformerParams, "fit", values)
