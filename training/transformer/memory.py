"""Configure how the process allocates memory."""

import ctypes
import sys
from typing import Final

# A constant from glibc's malloc.h.
_MMAP_MAX: Final = -4
_TRIM_THRESHOLD: Final = -1


def keep() -> None:
    """Let the allocator keep freed memory, since each training step needs the same memory again.

    By default glibc returns large blocks to the system at once, and the next step pays 10–15 % more
    for having the pages zeroed again. On other systems this does nothing.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(_MMAP_MAX, 0)
            libc.mallopt(_TRIM_THRESHOLD, 2**31 - 1)
