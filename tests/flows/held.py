"""A flow whose stage holds the interpreter: `python -m tests.flows.held WORKSPACE CHECKOUT` waits
for the stage until a signal ends it."""

import signal
import sys
from pathlib import Path

from base.processes import some_prefect_server
from flows.workspace import Workspace


def main() -> None:
    # A shell starts what runs in its background with Ctrl-C ignored; a person's terminal does not.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    root, checkout = (Path(argument) for argument in sys.argv[1:])
    with some_prefect_server(root.parent):
        from prefect import flow

        from flows import stages

        @flow
        def held() -> None:
            stages.run_stages(Workspace(root, checkout), root.parent / "logs", last="split")

        held()


if __name__ == "__main__":
    main()
