"""The only writer of a process. Many waiting writes share one durable commit.

A write is answered only after its commit. While a commit runs, the next writes gather. So under
load they share the cost of the disk's sync, and without load nobody waits.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final

import sqlalchemy as sa

from serving.feedback import Rejection, join
from serving.feedback_log import FeedbackLog, Row, Slate
from serving.metrics import Metrics

logger = logging.getLogger("rondo.writer")

MAX_GROUP: Final = 256


class Overloaded(RuntimeError):
    """The queue is full or the database cannot be reached. The client should try again later."""


@dataclass(frozen=True)
class Written:
    """The result of one write. Impressions of a slate are not counted.

    new_request: whether its slate was stored; False for a repeat, of which nothing is stored.
    """

    accepted: int
    duplicates: int
    rejected: list[Rejection]
    new_request: bool


@dataclass(frozen=True)
class _Write:
    now: int
    slate: Slate | None
    outcomes: Sequence[dict[str, Any]]
    rejected: list[Rejection]
    future: "Future[Written]" = field(default_factory=Future)


class Writer:
    """A thread with a bounded queue.

    committed: called with the outcomes that a group stored, after the commit and before its writes
    are answered. If it fails, the failure is logged; the events are safe in the log.
    """

    def __init__(
        self,
        log: FeedbackLog,
        committed: Callable[[Sequence[Row]], None],
        metrics: Metrics,
        queue_size: int = 1_000,
    ) -> None:
        self._log = log
        self._committed = committed
        self._metrics = metrics
        self._queue: queue.Queue[_Write | None] = queue.Queue(queue_size)
        self._thread = threading.Thread(target=self._run, name="rondo-writer", daemon=True)
        self._closed = False
        self._thread.start()

    def write_slate(self, now: int, slate: Slate) -> "Future[Written]":
        """Log a slate with its impressions. Raises Overloaded if the queue is full."""
        return self._put(_Write(now, slate, [], []))

    def write_outcomes(
        self, now: int, outcomes: Sequence[dict[str, Any]], rejected: list[Rejection]
    ) -> "Future[Written]":
        """Join checked outcomes to their slots, and store them with the dead letters.

        now: µs. Raises Overloaded if the queue is full.
        """
        return self._put(_Write(now, None, outcomes, rejected))

    def close(self) -> None:
        """Finish waiting writes, then stop."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    def _put(self, write: _Write) -> "Future[Written]":
        if self._closed:
            raise Overloaded("the service is stopping")
        write.future.set_running_or_notify_cancel()  # a client must not stop it
        try:
            self._queue.put_nowait(write)
        except queue.Full:
            self._metrics.failures.labels("queue full").inc()
            raise Overloaded("too many writes are waiting") from None
        return write.future

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            group = [first] if first is not None else []
            stop = first is None
            while len(group) < MAX_GROUP and not stop:
                try:
                    write = self._queue.get_nowait()
                except queue.Empty:
                    break
                if write is None:
                    stop = True
                else:
                    group.append(write)
            self._metrics.queue.set(self._queue.qsize())
            if group:
                self._commit(group)
            if stop:
                return

    def _commit(self, group: list[_Write]) -> None:
        try:
            written = self._store(group)
        except sa.exc.OperationalError:  # nothing was stored; retrying one by one would not help
            logger.exception("the database did not take %d writes", len(group))
            self._metrics.failures.labels("database").inc()
            for write in group:
                write.future.set_exception(Overloaded("the database is not available"))
            return
        except Exception as failure:
            if len(group) > 1:  # one bad write must not fail the others of its group
                for write in group:
                    self._commit([write])
                return
            logger.exception("a write failed")
            self._metrics.failures.labels("write").inc()
            group[0].future.set_exception(failure)
            return
        for write, result in zip(group, written, strict=True):
            write.future.set_result(result)

    def _store(self, group: list[_Write]) -> list[Written]:
        began = time.perf_counter()
        asked = {o["request_id"] for w in group for o in w.outcomes if o["request_id"]}
        shown = self._log.slots_of(sorted(asked)) if asked else {}
        joined = [join(write.outcomes, shown) for write in group]
        rejected = [write.rejected + late for write, (_, late) in zip(group, joined, strict=True)]
        outcomes = [row for rows, _ in joined for row in rows]
        appended = self._log.append(
            [write.slate for write in group if write.slate is not None],
            outcomes,
            [
                reject.row(write.now)
                for write, rejects in zip(group, rejected, strict=True)
                for reject in rejects
            ],
        )
        committed = time.perf_counter()
        self._metrics.seconds.labels("commit").observe(committed - began)
        self._metrics.commits.observe(sum(bool(w.slate) + len(w.outcomes) for w in group))
        unclaimed, unanswered = set(appended.events), set(appended.requests)
        new = []
        results = []
        for write, (rows, _), rejects in zip(group, joined, rejected, strict=True):
            fresh = []
            for row in rows:
                if row["event_id"] in unclaimed:
                    unclaimed.discard(row["event_id"])
                    fresh.append(row)
            new += fresh
            request_id = write.slate.request_id if write.slate is not None else None
            first = request_id in unanswered
            unanswered.discard(request_id or "")
            results.append(Written(len(fresh), len(rows) - len(fresh), rejects, first))
        if new:
            try:
                self._committed(new)
            except Exception:
                logger.exception("the online store did not take the live history")
                self._metrics.failures.labels("push").inc()
            self._metrics.seconds.labels("push").observe(time.perf_counter() - committed)
        return results
