"""`make serve`: the current champion on http://localhost:3000, with interactive API documentation.

    python -m flows.serve [options of `bentoml serve`]

Only this machine can reach it, unless `--host` says otherwise, because the service asks for no key.
"""

import argparse
import errno
import os
import socket
import sys
from collections.abc import Sequence

import psutil  # type: ignore[import-untyped]

from base.errors import InputError
from flows import environment
from serving.signing import signer

#: BentoML's defaults (`serving.service` sets the host).
HOST, PORT = "127.0.0.1", 3000


def main() -> None:
    """Replace this process by `bentoml serve`.

    Ends with a one-line message if the port is in use or the secret is empty.
    """
    settings = environment.settings()
    try:
        signer(settings)
    except InputError as error:
        sys.exit(f"make serve: {error}")
    if problem := held(*address(sys.argv[1:])):
        sys.exit(f"make serve: {problem}")
    command = [sys.executable, "-m", "bentoml", "serve", "serving.service:Rondo", *sys.argv[1:]]
    os.execv(sys.executable, command)


def address(arguments: Sequence[str]) -> tuple[str, int]:
    """The host and port on which `bentoml serve` would listen.

    It checks all other options itself.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--host", default=os.environ.get("BENTOML_HOST", HOST))
    parser.add_argument("-p", "--port", default=os.environ.get("BENTOML_PORT", str(PORT)))
    known, _ = parser.parse_known_args(list(arguments))
    return str(known.host), int(known.port) if str(known.port).isdecimal() else PORT


def held(host: str, port: int) -> str | None:
    """The reason why the port cannot be used, naming the process that uses it; None if it is
    free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return f"cannot listen on {host} port {port}: {error.strerror}"
        else:
            return None
    return f"port {port} is held by {_listener(port)}: stop it, or choose another with --port"


def _listener(port: int) -> str:
    """The process that listens on `port`, as far as this user may see it."""
    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            if listens and connection.pid is not None:
                command = " ".join(psutil.Process(connection.pid).cmdline())
                return f"process {connection.pid} ({command[:80]})"
    except psutil.Error:
        pass
    return "another process"


if __name__ == "__main__":
    main()
