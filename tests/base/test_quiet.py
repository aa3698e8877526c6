"""Output is silenced only within the block."""

import sys
import threading

from base.quiet import quiet


def test_threads_that_silence_at_the_same_time_leave_the_output_as_it_was() -> None:
    before = sys.stdout, sys.stderr
    first_in, second_asks = threading.Event(), threading.Event()

    def first() -> None:
        with quiet():
            first_in.set()
            second_asks.wait(5)

    def second() -> None:
        first_in.wait(5)
        second_asks.set()
        with quiet():
            thread.join(5)

    thread = threading.Thread(target=first)
    thread.start()
    second()
    assert (sys.stdout, sys.stderr) == before
