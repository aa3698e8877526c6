"""Bias and coverage of the estimators where the truth is a sum: `make bench-ope-coverage`.

Writes `reports/bench-ope-coverage.json`.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from base.arrays import Float64s
from benchmarks.ope.enumerable import (
    APPEAL,
    LOGGING,
    LOOKS,
    SLATES,
    PlackettLuce,
    Sample,
    sample,
    target,
)
from training.value import (
    clipping,
    dr,
    ips,
    item_position,
    pbm,
    reward_interaction,
    self_normalised,
    snips,
)
from training.value.estimate import clustered, estimate

DISTANCES: Final = (0.0, 0.15, 0.4)
"""Targets, from near the logging policy to far from it."""
USERS: Final = (100, 400, 1600)
CLIP: Final = 3.0

Contributions = tuple[Float64s, Float64s]
"""Contributions [n] and weights [n, k]."""


def _whole(found: Sample, _: PlackettLuce) -> Float64s:
    return np.repeat(ips.weights(found.logged)[:, None], LOOKS.size, axis=1)


def _own(found: Sample, policy: PlackettLuce) -> Float64s:
    items, slots = SLATES[found.slates], np.arange(LOOKS.size)
    return item_position.weights(
        found.logged, LOGGING.exposure[items, slots], policy.exposure[items, slots]
    )


def _looked(found: Sample, policy: PlackettLuce) -> Float64s:
    items = SLATES[found.slates]
    return pbm.weights(found.logged, LOGGING.exposure[items], policy.exposure[items], LOOKS)


def _above(found: Sample, _: PlackettLuce) -> Float64s:
    return reward_interaction.weights(found.logged)


WEIGHTS: Final[dict[str, Callable[[Sample, PlackettLuce], Float64s]]] = {
    "ips": _whole,
    "reward_interaction": _above,
    "item_position": _own,
    "pbm": _looked,
}


def contributions(found: Sample, policy: PlackettLuce, likes: float) -> dict[str, Contributions]:
    """Every estimator, by name. The reward model is right but for a third of each appeal.

    With a model of items, `reward_interaction_dr` is the same number as `cascade_dr`.
    """
    logged, items = found.logged, SLATES[found.slates]
    model = likes * (APPEAL + np.roll(APPEAL, 1) / 2) / 1.5
    predicted = LOOKS * model[items]
    expected = np.full(len(items), float((policy.exposure @ LOOKS) @ model))
    result: dict[str, Contributions] = {}
    for name, weigh in WEIGHTS.items():
        weights = weigh(found, policy)
        result[name] = ((weights * logged.rewards).sum(axis=1), weights)
        result[f"{name}_normalised"] = (self_normalised.contributions(logged, weights), weights)
        result[f"{name}_dr"] = (dr.contributions(logged, weights, predicted, expected), weights)
    result["snips"] = (snips.contributions(logged), result["ips"][1])
    return result


def study(
    replicates: int, users: int, distance: float, likes: float = 1.0, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Of each estimator: bias relative to the truth with its error, coverage, size and width.

    `clipped`: the position-based weights limited to `CLIP`, with the interval that counts the bias.
    """
    policy, random = target(distance), np.random.default_rng(seed)
    truth = policy.value(likes)
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for _ in range(replicates):
        found = sample(random, users, policy, likes)
        each = contributions(found, policy, likes)
        for name, (values, weights) in each.items():
            made = estimate(values, weights, found.logged.users, 0.0)
            low, high = made.interval.low, made.interval.high
            rows.setdefault(name, []).append((made.interval.mean, low, high, made.effective))
        weights = clipping.clipped(each["pbm"][1], CLIP)
        outer = clipping.outer(
            (weights * found.logged.rewards).sum(axis=1),
            clipping.missing(found.logged, weights, LOOKS),
            found.logged.users,
            0.0,
            2 * likes * float(APPEAL.max()),
        )
        rows.setdefault("pbm_clipped", []).append((outer.mean, outer.low, outer.high, 0.0))
        plain = clustered(found.logged.rewards.sum(axis=1), found.logged.users)
        moved = plain.mean - LOGGING.value(likes) + truth
        shift = moved - plain.mean
        rows.setdefault("on_policy", []).append(
            (moved, plain.low + shift, plain.high + shift, float(users))
        )
    result = {}
    for name, numbers in rows.items():
        mean, low, high, effective = np.array(numbers).T
        result[name] = {
            "bias": float(mean.mean() / truth - 1),
            "bias_error": float(mean.std() / truth / np.sqrt(replicates)),
            "coverage": float(((low <= truth) & (truth <= high)).mean()),
            "missed_above": float((truth > high).mean()),
            "effective": float(np.median(effective)),
            "width": float(np.median(high - low) / truth),
        }
    return result


def main() -> None:
    """`make bench-ope-coverage`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=1000, help="default 1000")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    args = parser.parse_args()
    studies: list[dict[str, Any]] = []
    report = Path("reports/bench-ope-coverage.json")
    report.parent.mkdir(exist_ok=True)
    for likes in (1.0, 0.2):
        for users in USERS:
            for distance in DISTANCES:
                found = study(args.replicates, users, distance, likes, args.seed)
                asked = {"users": users, "distance": distance, "likes": likes}
                studies.append({**asked, "replicates": args.replicates, "estimators": found})
                report.write_text(json.dumps({"studies": studies}, indent=1))
                print(asked, flush=True)
                for name, row in found.items():
                    print(f"  {name:28}", " ".join(f"{k} {v:.3f}" for k, v in row.items()))


if __name__ == "__main__":
    main()
