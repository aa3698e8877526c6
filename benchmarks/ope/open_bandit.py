"""A campaign of the Open Bandit Dataset: one row an impression of an item in one of three slots.

Saito, Aihara, Matsutani and Narita, "Open Bandit Dataset and Pipeline" (NeurIPS 2021). A folder
holds `random/` and `bts/` (Bernoulli Thompson sampling), each with the log of that policy. A log
has the propensities of the policy that wrote it only, and no user ids.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from base.arrays import Float64s, Int64s
from base.errors import InputError

POLICIES: Final = ("random", "bts")
COLUMNS: Final = ["item_id", "position", "click", "propensity_score"]


class CampaignError(InputError):
    """A folder is not a campaign of the Open Bandit Dataset. The message says why."""


@dataclass(frozen=True)
class Log:
    """The log of one policy: arrays [n].

    groups: rows whose users have the same features. A user is always in one, so that dependence
    between a user's rows is within groups; slots count from 0.
    """

    items: Int64s
    slots: Int64s
    clicks: Float64s
    propensities: Float64s
    groups: Int64s

    def share(self, items: int, slots: int) -> Float64s:
        """How often the policy shows each item in each slot, over the whole log [items, slots].

        Exactly 1 / `items` if the log says that it draws uniformly. Else by counts: the policy
        changed as it learned, and its mean over the log is what counts estimate without bias. (The
        pipeline simulates Thompson sampling from the campaign's priors instead, which do not lie
        beside the data.) Their error is not in the intervals: it is that of a value whose clicks
        are known, small beside the clicks'.
        """
        if np.allclose(self.propensities, 1 / items, rtol=1e-6):
            return np.full((items, slots), 1 / items)
        counts = np.zeros((items, slots))
        np.add.at(counts, (self.items, self.slots), 1.0)
        share: Float64s = counts / counts.sum(axis=0)
        return share


def read(folder: Path) -> dict[str, Log]:
    """The logs of both policies. Raises CampaignError."""
    return {policy: _read(folder / policy) for policy in POLICIES}


def _read(folder: Path) -> Log:
    paths = [path for path in sorted(folder.glob("*.csv")) if path.name != "item_context.csv"]
    if len(paths) != 1:
        raise CampaignError(f"{folder}: {len(paths)} logs (*.csv), not one")
    rows = pd.read_csv(paths[0])
    if missing := sorted(set(COLUMNS) - set(rows.columns)):
        raise CampaignError(f"{paths[0]}: no column {', '.join(missing)}")
    if rows[COLUMNS].isna().any().any() or not rows["propensity_score"].between(0, 1).all():
        raise CampaignError(f"{paths[0]}: values that are absent, or propensities outside [0, 1]")
    features = [name for name in rows.columns if name.startswith("user_feature")]
    groups = rows.groupby(features).ngroup() if features else pd.Series(range(len(rows)))
    return Log(
        rows["item_id"].to_numpy(np.int64),
        rows["position"].to_numpy(np.int64) - 1,
        rows["click"].to_numpy(np.float64),
        rows["propensity_score"].to_numpy(np.float64),
        groups.to_numpy().astype(np.int64),
    )
