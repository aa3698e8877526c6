"""The options that the benchmarks of training share."""

import argparse
from typing import Any

import yaml

from base.errors import InputError
from base.params import build
from training.transformer.config import RunOptions, TransformerParams


class OptionError(InputError):
    """An option that cannot be used, or would make a benchmark unfair; the message says why."""


def add_set(parser: argparse.ArgumentParser, section: str = "section `fit`") -> None:
    """`--set KEY=VALUE`, any number of times."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                        help=f"change a value of {section}, such as dropout=0.2")  # fmt: skip


def changes(texts: list[str]) -> dict[str, Any]:
    """Keys to values of texts KEY=VALUE, values as YAML; raises OptionError for another form."""
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
    """From the environment; the number format is the fastest unless it is set, and no curves."""
    options = RunOptions(logger="none")
    if "precision" in options.model_fields_set:
        return options
    return options.model_copy(update={"precision": "auto"})


def fit_params(values: dict[str, Any]) -> TransformerParams:
    """Section `fit` from these values; raises ParamsError for a wrong one."""
    return build(TransformerParams, "fit", values)
