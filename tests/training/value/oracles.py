"""What the Open Bandit Pipeline and confseq say: python oracles.py inputs.npz results.json.

Runs apart from Rondo, with the folder of `benchmarks.oracles` on PYTHONPATH.
"""

import json
import sys
from pathlib import Path

import numpy as np

np.float_ = np.float64  # confseq's name of it, from before NumPy 2

from confseq.predmix import predmix_empbern_twosided_cs  # noqa: E402
from obp import ope  # noqa: E402


def single(given, limit, share):
    """Estimates from single actions [n] of A."""
    common = {"reward": given["reward"], "action": given["action"], "pscore": given["pscore"],
              "action_dist": given["action_dist"][:, :, None],
              "position": np.zeros(len(given["action"]), dtype=int)}  # fmt: skip
    model = {"estimated_rewards_by_reg_model": given["q"][:, :, None]}
    return {
        "ips": ope.InverseProbabilityWeighting().estimate_policy_value(**common),
        "ips clipped": ope.InverseProbabilityWeighting(lambda_=limit).estimate_policy_value(
            **common
        ),
        "ips flattened": ope.SubGaussianInverseProbabilityWeighting(
            lambda_=share
        ).estimate_policy_value(**common),
        "snips": ope.SelfNormalizedInverseProbabilityWeighting().estimate_policy_value(**common),
        "dr": ope.DoublyRobust().estimate_policy_value(**common, **model),
        "dr clipped": ope.DoublyRobust(lambda_=limit).estimate_policy_value(**common, **model),
        "dr switched": ope.SwitchDoublyRobust(lambda_=limit).estimate_policy_value(
            **common, **model
        ),
        "dr shrunk": ope.DoublyRobustWithShrinkage(lambda_=limit).estimate_policy_value(
            **common, **model
        ),
        "dr flattened": ope.SubGaussianDoublyRobust(lambda_=share).estimate_policy_value(
            **common, **model
        ),
        "sndr": ope.SelfNormalizedDoublyRobust().estimate_policy_value(**common, **model),
    }


def slates(given):
    """Estimates from slates [n, k]."""
    n, k = given["rewards"].shape
    common = {"slate_id": np.repeat(np.arange(n), k), "position": np.tile(np.arange(k), n),
              "reward": given["rewards"].ravel()}  # fmt: skip
    cascade = [given[side].cumprod(axis=1) for side in ("logging", "target")]
    joint = [np.repeat(above[:, -1], k) for above in cascade]
    whole = {"pscore": joint[0], "evaluation_policy_pscore": joint[1]}
    own = {
        "pscore_item_position": given["exposure"].ravel(),
        "evaluation_policy_pscore_item_position": given["target_exposure"].ravel(),
    }
    above = {
        "pscore_cascade": cascade[0].ravel(),
        "evaluation_policy_pscore_cascade": cascade[1].ravel(),
    }
    items = given["slate_q"].shape[2]
    found = {
        "slate ips": ope.SlateStandardIPS(k).estimate_policy_value(**common, **whole),
        "slate snips": ope.SelfNormalizedSlateStandardIPS(k).estimate_policy_value(
            **common, **whole
        ),
        "item position": ope.SlateIndependentIPS(k).estimate_policy_value(**common, **own),
        "item position normalised": ope.SelfNormalizedSlateIndependentIPS(k).estimate_policy_value(
            **common, **own
        ),
        "reward interaction": ope.SlateRewardInteractionIPS(k).estimate_policy_value(
            **common, **above
        ),
        "reward interaction normalised": ope.SelfNormalizedSlateRewardInteractionIPS(
            k
        ).estimate_policy_value(**common, **above),
    }
    found["cascade dr"] = ope.SlateCascadeDoublyRobust(k, items).estimate_policy_value(
        **common,
        **above,
        action=given["items"].ravel(),
        q_hat=given["slate_q"].ravel(),
        evaluation_policy_action_dist=given["slate_dist"].ravel(),
    )
    return found


if __name__ == "__main__":
    inputs = dict(np.load(sys.argv[1]))
    results = single(inputs, float(inputs["limit"]), float(inputs["share"])) | slates(inputs)
    numbers = {name: [float(value)] for name, value in results.items()}
    low, high = predmix_empbern_twosided_cs(inputs["bounded"], alpha=0.05)
    numbers |= {"bounded low": low.tolist(), "bounded high": high.tolist()}
    Path(sys.argv[2]).write_text(json.dumps(numbers))
