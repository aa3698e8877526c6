"""The value of each policy of a campaign from the other's log: `make bench-ope DATA=folder`.

Beside the clicks of its own log. Writes `reports/bench-ope.json` and `bench-ope.png`. The value is
clicks per impression; an impression is a slate of one slot, whose position is part of the context.
"""

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from base.arrays import Float64s
from base.errors import InputError
from benchmarks.ope.open_bandit import POLICIES, Log, read
from training.value import clipping, dr, self_normalised
from training.value.estimate import LEAST, Estimate, clustered, estimate
from training.value.logged import Logged
from training.value.position_bias import position_bias

CLIP: Final = 10.0
OUTER: Final = "dr_clipped"
"""Weights of at most `CLIP`, with an interval that holds however the rest clicks, up to always."""
FOLDS: Final = 2
_PRIOR_LOOKS: Final = 200.0
"""Impressions at the mean rate of clicks that an item's own rate is drawn to."""


def valued(log: Log, target: Float64s, own: Float64s) -> dict[str, Estimate]:
    """The value of a policy from another's `log`, by each estimator.

    `target` and `own` [items, slots]: how often the policy to be valued, and that of the log, show
    each item in each slot. Propensities of the log are its own, by row, except where a click counts
    for all slots (pbm), which needs `own`.
    """
    n = len(log.items)
    logged = Logged(
        log.groups,
        log.clicks[:, None],
        np.ones((n, 1), dtype=bool),
        log.propensities[:, None],
        target[log.items, log.slots][:, None],
    )
    weights = logged.ratios()
    looked = _looks(log, own)
    by_looks = (target @ looked)[log.items] / (own @ looked)[log.items]
    predicted, expected = _model(log, target)
    limited = clipping.clipped(weights, CLIP)
    corrected = dr.contributions(logged, limited, predicted, expected)
    found = {
        "ips": (weights, (weights * logged.rewards).sum(axis=1)),
        "snips": (weights, self_normalised.contributions(logged, weights)),
        "dr": (weights, dr.contributions(logged, weights, predicted, expected)),
        "pbm": (by_looks[:, None], by_looks * log.clicks),
        "pbm_dr": (
            by_looks[:, None],
            dr.contributions(logged, by_looks[:, None], predicted, expected),
        ),
    }
    rows = np.arange(n)
    result = {}
    for name, (each, values) in found.items():
        made = estimate(values, each, rows, LEAST)
        result[name] = replace(made, interval=clustered(values, log.groups))
    left_out = clipping.missing(logged, limited)
    made = estimate(corrected, limited, rows, LEAST)
    high = float(1 - predicted.min())
    outer = clipping.outer(corrected, left_out, log.groups, -float(predicted.max()), high)
    return result | {OUTER: replace(made, interval=outer)}


def _looks(log: Log, own: Float64s) -> Float64s:
    """How often each slot is looked at, relative to the first [slots]."""
    n, slots = len(log.items), own.shape[1]
    exposures, clicks = np.zeros((n, slots, slots)), np.zeros((n, slots))
    exposures[np.arange(n), log.slots] = own[log.items]
    clicks[np.arange(n), log.slots] = log.clicks
    return position_bias(exposures, clicks)


def _model(log: Log, target: Float64s) -> tuple[Float64s, Float64s]:
    """Rates of clicks of items in slots, of other groups: of the rows as shown [n, 1], and what the
    target would get in the row's slot [n]."""
    predicted, expected = np.zeros((len(log.items), 1)), np.zeros(len(log.items))
    fold = log.groups % FOLDS
    for each in range(FOLDS):
        others, own = fold != each, fold == each
        rate = (log.clicks[others].sum() + 0.5) / (others.sum() + 1.0)
        shown = np.bincount(log.items[others], minlength=len(target))
        clicks = np.bincount(log.items[others], log.clicks[others], minlength=len(target))
        model = (clicks + _PRIOR_LOOKS * rate) / (shown + _PRIOR_LOOKS)
        predicted[own, 0] = model[log.items[own]]
        expected[own] = (target * model[:, None]).sum(axis=0)[log.slots[own]]
    return predicted, expected


def report(folder: Path) -> dict[str, Any]:
    """The content of `reports/bench-ope.json`. Raises CampaignError."""
    logs = read(folder)
    items = 1 + max(int(log.items.max()) for log in logs.values())
    slots = 1 + max(int(log.slots.max()) for log in logs.values())
    shares = {name: log.share(items, slots) for name, log in logs.items()}
    content: dict[str, Any] = {"data": folder.name, "policies": {}}
    for policy, other in (POLICIES, POLICIES[::-1]):
        log = logs[policy]
        truth = clustered(log.clicks, log.groups)
        made = valued(logs[other], shares[policy], shares[other])
        content["policies"][policy] = {
            "log": other,
            "impressions": len(log.clicks),
            "clicks": int(log.clicks.sum()),
            "on_policy": truth.plain(),
            "estimates": {
                name: each.interval.plain() | {"effective": each.effective, "reason": each.reason}
                for name, each in made.items()
            },
        }
    return content


def draw(content: dict[str, Any], path: Path) -> None:
    """Intervals of both policies by estimator; those that abstain are pale.

    The widest, which count what a limit of weights leaves out, end outside.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    for axes, (policy, found) in zip(
        figure.subplots(1, 2), content["policies"].items(), strict=True
    ):
        rows = {"on policy": found["on_policy"], **found["estimates"]}
        for place, (name, row) in enumerate(rows.items()):
            colour = "black" if name == "on policy" else "C0"
            pale = 0.35 if row.get("reason") else 1.0
            axes.plot([row["low"] * 1e3, row["high"] * 1e3], [place] * 2, color=colour, alpha=pale)
            axes.plot(row["mean"] * 1e3, place, "o", color=colour, alpha=pale)
        axes.axvspan(
            found["on_policy"]["low"] * 1e3, found["on_policy"]["high"] * 1e3, color="0.92"
        )
        widest = max(row["high"] for name, row in rows.items() if name != OUTER)
        axes.set_xlim(0, 1.4e3 * widest)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.invert_yaxis()
        axes.set(title=f"{policy} from {found['log']}", xlabel="clicks per 1,000 impressions")
    figure.suptitle(f"{content['data']}: 95 % intervals; pale: abstains")
    figure.savefig(path, dpi=110, metadata={"Software": ""})


def main() -> None:
    """`make bench-ope`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("../shared/data/open-bandit-men"),
        help="a campaign's folder with random/ and bts/",
    )
    args = parser.parse_args()
    try:
        content = report(args.data)
    except InputError as error:
        sys.exit(f"bench-ope: {error}")
    folder = Path("reports")
    folder.mkdir(exist_ok=True)
    (folder / "bench-ope.json").write_text(json.dumps(content, indent=2) + "\n")
    draw(content, folder / "bench-ope.png")
    for policy, found in content["policies"].items():
        truth = found["on_policy"]
        print(f"{policy}: {_told(truth)} on its own log, {found['clicks']} clicks")
        for name, row in found["estimates"].items():
            print(f"  {name:12}{_told(row)}  {row['effective']:8.0f}  {row['reason']}")


def _told(row: dict[str, Any]) -> str:
    return f"{row['mean']:.5f} [{row['low']:.5f}, {row['high']:.5f}]"


if __name__ == "__main__":
    main()
