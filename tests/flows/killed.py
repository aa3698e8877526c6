"""A retrain that is killed: `python -m tests.flows.killed N` dies by SIGKILL at the end of its Nth
step; `… -1` runs to the end and prints the release."""

import os
import signal
import sys

from flows import retrain as flow

#: A small world in which the first release is good enough to be promoted.
OVERRIDES = {
    "world.humans": 250,
    "world.initial_items": 200,
    "world.history_days": 6,
    "world.new_items": 10,
    "world.sessions_per_day": 120,
    "split.min_targets": 100,
    "fit.max_epochs": 2,
    "gate.min_users": 20,
}
NOW = 1_705_000_000_000_000


class Dying(flow.StepClock):
    """Kills this process after `left` steps."""

    left = 0

    def lap(self, step: str) -> None:
        super().lap(step)
        Dying.left -= 1
        if Dying.left == 0:
            print(f"killed after {step}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    Dying.left = int(sys.argv[1])
    flow.StepClock = Dying  # type: ignore[misc]
    outcome = flow.retrain("test", OVERRIDES, NOW)
    print(f"release {outcome.release} {outcome.decision}", flush=True)


if __name__ == "__main__":
    main()
