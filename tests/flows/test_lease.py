"""The lease: one holder, late runs coalesce, a dead holder does not block."""

import subprocess
import sys

import psutil
import pytest
import sqlalchemy as sa

from flows import lease as leases
from serving.database import writing
from serving.fences import Fenced, check

SECONDS = leases.SECONDS
OTHER = "elsewhere/1/0.00"


def test_a_second_run_is_refused_and_makes_the_first_run_once_more(engine: sa.Engine) -> None:
    with leases.lease(engine, "retrain") as held:
        with pytest.raises(leases.Busy), leases.lease(engine, "retrain"):
            pass
        with pytest.raises(leases.Busy), leases.lease(engine, "retrain"):
            pass
    assert held.again
    with leases.lease(engine, "retrain") as held:
        pass
    assert not held.again


def test_an_expired_holder_is_replaced_and_fenced_out(engine: sa.Engine) -> None:
    old = leases.acquire(engine, "retrain", OTHER, now=0)
    assert leases.acquire(engine, "retrain", "third/1/0.00", now=leases.EXPIRES_AFTER - 1) is None
    new = leases.acquire(engine, "retrain", "third/1/0.00", now=leases.EXPIRES_AFTER)
    assert old is not None
    assert new is not None
    assert new.number > old.number
    with writing(engine) as connection:
        check(connection, new)
        with pytest.raises(Fenced):
            check(connection, old)
    assert not leases.renew(engine, old, now=0)


def test_renewing_keeps_the_lease(engine: sa.Engine) -> None:
    fence = leases.acquire(engine, "retrain", OTHER, now=0)
    assert fence is not None
    assert leases.renew(engine, fence, now=20 * SECONDS)
    assert leases.acquire(engine, "retrain", "third/1/0.00", now=45 * SECONDS) is None


def test_a_killed_holder_on_this_machine_does_not_block(engine: sa.Engine) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = psutil.Process(child.pid).create_time()
    host = leases.this_process().split("/")[0]
    holder = f"{host}/{child.pid}/{started:.2f}"
    assert leases.acquire(engine, "retrain", holder, now=0) is not None
    assert leases.acquire(engine, "retrain", leases.this_process(), now=1) is None
    child.kill()
    child.wait()
    assert leases.acquire(engine, "retrain", leases.this_process(), now=1) is not None


def test_a_run_that_was_asked_for_outlives_the_failure_of_the_one_that_promised_it(
    engine: sa.Engine,
) -> None:
    def fail() -> None:
        with leases.lease(engine, "retrain"):
            with pytest.raises(leases.Busy), leases.lease(engine, "retrain"):
                pass
            assert not leases.wanted(engine, "retrain")  # the holder will do it
            raise RuntimeError("training failed")

    with pytest.raises(RuntimeError, match="training failed"):
        fail()
    assert leases.wanted(engine, "retrain")
    with leases.lease(engine, "retrain", ask_again=False) as ingesting:
        pass
    assert ingesting.again, "an ingestion does not do it, but has to start it"
    with leases.lease(engine, "retrain") as retraining:
        pass
    assert not retraining.again
    assert not leases.wanted(engine, "retrain")
