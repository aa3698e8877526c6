"""Short names for the array types of this project, after the type of their entries.

NumPy types hold no shape, so each docstring states the shape of the arrays it describes.
"""

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Int8s = npt.NDArray[np.int8]
Int32s = npt.NDArray[np.int32]
Int64s = npt.NDArray[np.int64]
Float32s = npt.NDArray[np.float32]
Float64s = npt.NDArray[np.float64]
Objects = npt.NDArray[np.object_]

Scores = Float32s
"""Scores of items, one row per request; higher is better."""
