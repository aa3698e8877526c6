"""The recipes of the bank: what differs from `params.yaml`, by name of the release."""

from typing import Any, Final

Recipe = dict[str, Any]


def _seeds(seed: int) -> Recipe:
    return {"fit.seed": seed, "trees.seed": seed}


#: The same recipe trained again.
REFRESHES: Final[dict[str, Recipe]] = {f"seed{seed}": _seeds(seed) for seed in range(1, 9)}

#: Changed parameters and data.
CHANGED: Final[dict[str, Recipe]] = {
    "epochs1": {"fit.max_epochs": 1},
    "epochs2": {"fit.max_epochs": 2},
    "epochs8": {"fit.max_epochs": 8},
    "no-id-dropout": {"fit.id_dropout": 0.0},
    "id-dropout": {"fit.id_dropout": 0.5},
    "dropout": {"fit.dropout": 0.3},
    "short": {"fit.max_length": 16},
    "gbce": {"fit.loss": "gbce"},
    "contrastive": {"fit.loss": "contrastive"},
    "slow": {"fit.learning_rate": 0.001},
    "adamw-linear": {"fit.schedule": "linear"},
    "no-time-bias": {"fit.time_bias": False},
    "small": {"fit.size": "small"},
    "small2": {"fit.size": "small", **_seeds(2)},
    "leaves15": {"trees.num_leaves": 15},
    "leaves31": {"trees.num_leaves": 31, "trees.min_data_in_leaf": 50},
    "few-trees": {"trees.max_trees": 5},
    "more-trees": {"trees.max_trees": 400, "trees.patience": 60},
    "prior3": {"trees.prior_reg": 3.0},
    "prior300": {"trees.prior_reg": 300.0},
    "reg3": {"trees.reg": 3.0},
    "all-features": {"trees.feature_fraction": 1.0},
    "no-slates": {"trees.slate_weight": 0.0},
    "half-slates": {"trees.slate_weight": 0.5},
    "slates": {"trees.slate_weight": 1.0},
    "ten-a-source": {"candidates.per_source": 10},
    "fifty-a-source": {"candidates.per_source": 50},
    "recent10": {"candidates.recent": 10},
    "half-life3": {"neighbours.half_life_days": 3.0},
    "neighbours20": {"neighbours.count": 20},
    "fresh3": {"fresh.days": 3.0},
    "fewer-queries": {"split.max_queries_per_user": 2},
    "a-day-older": {"split.rank_days": 2.0},
    "two-days-older": {"split.rank_days": 3.0},
}

RECIPES: Final[dict[str, Recipe]] = REFRESHES | CHANGED
