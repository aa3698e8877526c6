"""Fresh items: the newest first, so that an item without any event can be found."""

import numpy as np
import numpy.typing as npt

from features.schema import DAY


def ages_in_days(
    created_at: npt.NDArray[np.int64], timestamps: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """float32 [n, catalogue]; NaN where it is not known when the item was created.

    created_at: int64 [catalogue] or [n, catalogue], µs, 0 where unknown; timestamps: int64 [n], µs.
    """
    ages = (timestamps[:, None] - created_at) / DAY
    return np.where(created_at > 0, ages, np.nan).astype(np.float32)


def fresh_scores(
    created_at: npt.NDArray[np.int64], timestamps: npt.NDArray[np.int64], days: float
) -> npt.NDArray[np.float32]:
    """float32 [n, catalogue]: 1 for an item of this moment down to 0 at `days` old or unknown."""
    share = np.maximum(1.0 - ages_in_days(created_at, timestamps) / days, 0.0)
    return np.asarray(np.nan_to_num(share), dtype=np.float32)
