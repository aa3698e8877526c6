"""Counter-based random numbers. Each depends only on its keys, not on the numbers drawn before.

So the order in which concurrent sessions draw does not matter.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from base.arrays import Float64s, Int64s


class Stream(IntEnum):
    """What a number is used for. Only append entries, because their order determines all worlds."""

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


def uniforms(seed: int, stream: Stream, *keys: Int64s | int) -> Float64s:
    """Numbers in (0, 1), one per element of the keys' broadcast shape.

    A splitmix64 hash (Steele et al., 2014) of the seed, the stream and the keys. An integer key and
    an array of it give the same numbers. It is faster with integers first.
    """
    state: int | npt.NDArray[np.uint64] = _mixed(seed * 1_000_003 + int(stream))
    with np.errstate(over="ignore"):
        for key in keys:
            if isinstance(state, int) and isinstance(key, int):
                state = _mixed(state ^ ((key + _GOLDEN) & _MASK))
            else:
                added = np.asarray(key).astype(np.uint64) + np.uint64(_GOLDEN)
                state = _mix(np.atleast_1d(np.uint64(state) ^ added))
    shape = np.broadcast_shapes(*(np.shape(key) for key in keys))
    words = np.atleast_1d(np.asarray(state, dtype=np.uint64)) >> np.uint64(11)
    unit = (words.astype(np.float64) + 0.5) * 2.0**-53
    return unit.reshape(shape) if shape else unit


def generator(seed: int, stream: Stream, *keys: int) -> np.random.Generator:
    """A generator for draws that belong to the whole world, such as a day's new items."""
    return np.random.default_rng([seed, int(stream), *keys])


_GOLDEN, _MASK = 0x9E3779B97F4A7C15, 0xFFFF_FFFF_FFFF_FFFF
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def _mixed(state: int) -> int:
    state = (state + _GOLDEN) & _MASK
    state = ((state ^ (state >> 30)) * _FIRST) & _MASK
    state = ((state ^ (state >> 27)) * _SECOND) & _MASK
    return state ^ (state >> 31)


def _mix(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    state = state + np.uint64(_GOLDEN)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(_FIRST)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(_SECOND)
    return state ^ (state >> np.uint64(31))
