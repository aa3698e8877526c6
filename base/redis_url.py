"""Turn a Redis address, in any usual form, into the form that Feast needs.

    connection_string("redis.internal:6379")
    connection_string("rediss://:secret@redis.internal:6380/2?ssl_ca_certs=/etc/ssl/ours.pem")

Feast's own form (`host:port,ssl=true,password=…`) is passed on unchanged. No error message shows
the address, because it may hold a password.
"""

import json
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from base.errors import InputError

#: Give up after this many seconds, so that a request does not hang with Redis.
TIMEOUTS: Final = {"socket_timeout": 2.0, "socket_connect_timeout": 2.0}
_SCHEMES: Final = {"redis": {}, "rediss": {"ssl": True}}


def connection_string(address: str) -> str:
    """Return `host:port` with `name=value` pairs, including timeouts. Raises InputError."""
    options: dict[str, Any] = dict(TIMEOUTS)
    if "://" not in address:
        given = {part.partition("=")[0] for part in address.split(",") if "=" in part}
        kept = {name: value for name, value in options.items() if name not in given}
        return ",".join([address, *_pairs(kept)])
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or 6379
    except ValueError as error:
        raise InputError(f"RONDO_REDIS_URL: not a Redis URL ({error})") from None
    if parts.scheme not in _SCHEMES or not host:
        raise InputError(
            "RONDO_REDIS_URL: wanted host:port, redis://[user:password@]host:port/number or "
            "rediss:// (TLS)"
        )
    options |= _SCHEMES[parts.scheme]
    options |= {name: _value(value) for name, value in parse_qsl(parts.query)}
    number = parts.path.strip("/")
    if number:
        if not number.isdecimal():
            raise InputError("RONDO_REDIS_URL: the path is the number of a database")
        options["db"] = int(number)
    for name, value in (("username", parts.username), ("password", parts.password)):
        if value:
            options[name] = unquote(value)
    return ",".join([f"{host}:{port}", *_pairs(options)])


def _pairs(options: dict[str, Any]) -> list[str]:
    """Options as `name=value`.

    Feast splits at commas before reading JSON, so commas are escaped.
    """
    values = {name: json.dumps(value).replace(",", "\\u002c") for name, value in options.items()}
    return [f"{name}={value}" for name, value in values.items()]


def _value(text: str) -> Any:
    """The value of a query option: a number, a truth value, or else a text."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
