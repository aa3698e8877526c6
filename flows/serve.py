"""`make serve`: the current champion on http://localhost:3000, with its page of API docs.

python -m flows.serve [options of `bentoml serve`]

Only this machine reaches it, as the service asks for no key; `--host` says otherwise.
"""

import os
import sys

from features.settings import Settings
from flows import environment


def main() -> None:
    """Becomes `bentoml serve`."""
    environment.prepare(Settings())
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Rondo", *sys.argv[1:]]
    os.execv(sys.executable, command)


if __name__ == "__main__":
    main()
