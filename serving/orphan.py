"""A worker ends with its supervisor.

BentoML starts workers in sessions of their own. One whose supervisor was killed (by the kernel for
want of memory, or by an init system that ends the main process only) would go on answering with its
release of that day, and keep the port from the next start.
"""

import logging
import os
import signal
import threading
import time

logger = logging.getLogger("rondo.orphan")

PERIOD_SECONDS = 0.5
#: For the requests that are being answered.
GRACE_SECONDS = 10.0


def end_with_parent() -> None:
    """From now on, watch for the death of this process's parent and then end this process.

    Ends as on SIGTERM, so that what is waiting is committed; at the latest after GRACE_SECONDS.
    Polls, which works on every system and whichever thread of the parent started this process.
    """
    arguments = (os.getppid(), PERIOD_SECONDS, GRACE_SECONDS)
    threading.Thread(target=_watch, args=arguments, name="rondo-orphan", daemon=True).start()


def _watch(parent: int, period: float, grace: float) -> None:
    while os.getppid() == parent:
        time.sleep(period)
    logger.error("the supervisor (process %d) is gone: this worker ends, too", parent)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os._exit(1)
