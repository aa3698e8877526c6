"""A retrain that is killed: `python -m tests.flows.killed STEP NOW [OVERRIDES]`.

It dies by SIGKILL at the end of STEP. With `never` it runs to the end and prints its steps and the
release. NOW is in µs. OVERRIDES, in JSON, come on top of those below.
"""

import json
import os
import signal
import sys

from flows import retrain as flow

#: A small world in which the first release, and a second with two days more, are good enough to be
#: promoted: by this recipe, not by what the data settle. Every third choice in it is of a new item.
OVERRIDES = {
    "world.humans": 250,
    "world.initial_items": 200,
    "world.history_days": 6,
    "world.new_items": 10,
    "world.sessions_per_day": 120,
    "split.min_targets": 100,
    "fit.max_epochs": 2,
    "fit.batch_tokens": 1024,
    "fit.dropout": 0.3,
    "fit.weight_decay": 0.01,
    "gate.min_users": 20,
}
NOW = 1_705_000_000_000_000


class Dying(flow.StepClock):
    """Kills this process at the end of a step."""

    until = "never"

    def lap(self, step: str) -> None:
        super().lap(step)
        if Dying.until == step:
            print(f"killed after {step}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    Dying.until = sys.argv[1]
    flow.StepClock = Dying  # type: ignore[misc]
    overrides = OVERRIDES | json.loads(sys.argv[3] if len(sys.argv) > 3 else "{}")
    outcome = flow.retrain("test", overrides, int(sys.argv[2]))
    print("steps", *outcome.seconds)
    print(f"release {outcome.release} {outcome.decision}", flush=True)


if __name__ == "__main__":
    main()
