"""Counter-based randomness: a number depends on its keys, never on how many were drawn before.

So it does not matter in which order concurrent sessions draw.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Stream(IntEnum):
    """What a number is for. Only ever append: the order fixes every world."""

    POPULATION = 0
    TASTE = 1
    ITEMS = 2
    RETURN = 3
    START = 4
    EXAMINE = 5
    WANT = 6
    TRUST = 7
    CONTINUE = 8
    SEARCH = 9
    SEARCH_PICK = 10
    BROWSE_PICK = 11
    PURCHASE = 12
    HIDE = 13
    DELAY = 14
    DUPLICATE = 15
    JITTER = 16
    POLICY = 17
    SAMPLE = 18
    BOT = 19
    LATENT = 20


def uniforms(seed: int, stream: Stream, *keys: Ints | int) -> Floats:
    """Numbers in (0, 1), one per element of the keys' broadcast shape.

    A splitmix64 hash (Steele et al., 2014) of the seed, the stream and the keys.
    """
    with np.errstate(over="ignore"):
        state = _mix(np.asarray([seed * 1_000_003 + int(stream)], dtype=np.uint64))
        for key in keys:
            state = _mix(state ^ (np.asarray(key).astype(np.uint64) + _GOLDEN))
    shape = np.broadcast_shapes(*(np.shape(key) for key in keys))
    unit = ((state >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return np.broadcast_to(unit, (*shape,) if shape else (1,))


def generator(seed: int, stream: Stream, *keys: int) -> np.random.Generator:
    """A generator for draws that belong to the whole world, such as a day's new items."""
    return np.random.default_rng([seed, int(stream), *keys])


_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = state + _GOLDEN
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
