"""A retrain that is killed: `python -m tests.flows.killed N` dies by SIGKILL at the end of its Nth
step; `… -1` runs to the end and prints the release."""

import os
import signal
import sys

from flows import retrain as flow

OVERRIDES = {
    "world.humans": 150,
    "world.initial_items": 120,
    "world.history_days": 6,
    "world.new_items": 5,
    "world.sessions_per_day": 80,
    "split.min_targets": 60,
    "fit.max_epochs": 1,
    "trees.max_trees": 20,
    "gate.min_users": 5,
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
