"""End a worker when its supervisor ends.

BentoML starts workers in their own sessions. If the supervisor is killed (by the kernel when memory
runs out, or by an init system that ends only the main process), a worker would continue to answer
with its old release, and would block the port for the next start.
"""

import logging
import os
import signal
import threading
import time

logger = logging.getLogger("rondo.orphan")

PERIOD_SECONDS = 0.5
#: Time for requests that are being answered.
GRACE_SECONDS = 10.0


def end_with_parent() -> None:
    """Watch this process's parent, and end this process after the parent has died.

    Ends like on SIGTERM, so that waiting writes are committed, and at the latest after
    GRACE_SECONDS. Watches by polling, which works on every system and no matter which thread of the
    parent started this process.
    """
    arguments = (os.getppid(), PERIOD_SECONDS, GRACE_SECONDS)
    threading.Thread(target=_watch, args=arguments, name="rondo-orphan", daemon=True).start()


def _watch(parent: int, period: float, grace: float) -> None:
    while os.getppid() == parent:
        time.sleep(period)
    logger.error("the supervisor (process %d) is gone: this worker ends as well", parent)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace)
    os._exit(1)
