"""Played arrays of a made-up run: people with tastes of their own, and slates that earn at
random."""

from typing import Any

import numpy as np

PEOPLE, DAYS, SLATES = 300, 20, 800


def played(changes: dict[str, float], seed: int = 1, noise: float = 0.7) -> dict[str, Any]:
    """A run in which contenders truly earn `changes` more clicks than the champion."""
    random = np.random.default_rng(seed)
    count = DAYS * SLATES
    people = random.integers(0, PEOPLE, count)
    true = np.exp(random.normal(0.0, 0.2, PEOPLE))[people]
    arrays: dict[str, Any] = {
        "people": people,
        "day": np.repeat(np.arange(DAYS), SLATES),
        "part": (people % 3).astype(np.int8),
        "true": true,
    }
    for name, change in changes.items():
        arrays[f"true {name}"] = true * (1.0 + change)
        arrays[f"first {name}"] = true + random.normal(0.0, 1.2, count)
        arrays[f"second {name}"] = arrays[f"first {name}"] + change * true
        arrays[f"second {name}"] += random.normal(0.0, noise, count)
        arrays[f"effective {name}"] = np.full(DAYS, 0.5)
        arrays[f"clipped {name}"] = np.zeros(DAYS)
    return arrays
