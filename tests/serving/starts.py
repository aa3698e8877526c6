"""Processes that start at the same moment, played by threads with separate engines."""

import threading
from collections.abc import Callable

import sqlalchemy as sa

from serving.database import connect

PROCESSES = 6


def at_once(
    url: str, act: Callable[[sa.Engine, int], object], count: int = PROCESSES
) -> list[object]:
    """The results of `act` from each of them, or the exceptions, in order of their number."""
    barrier, got = threading.Barrier(count), dict[int, object]()

    def process(number: int) -> None:
        barrier.wait()
        try:
            engine = connect(url)
            try:
                got[number] = act(engine, number)
            finally:
                engine.dispose()
        except Exception as error:
            got[number] = error

    threads = [threading.Thread(target=process, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [got[number] for number in range(count)]
