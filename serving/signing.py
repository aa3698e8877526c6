"""What the service does with its secret: sign request ids, and seed the draws of slates.

Feedback can only claim slates that were really shown, and nobody can choose or foresee what a
request id draws (docs/adr/0018).
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path

from base.errors import InputError
from base.settings import Settings

_SIGNATURE = 24
#: No request id holds a slash, so no signature is ever of this.
_DRAWS = b"rondo/draws/1"


class Signer:
    """Signs `<id>.<signature>`: HMAC-SHA-256, truncated to 96 bits, in hex.

    Draws have a key of their own, derived from the secret. Raises InputError for an empty one.
    """

    def __init__(self, key: bytes) -> None:
        if not key.strip():
            raise InputError(
                "the secret is empty: set RONDO_SECRET to a long random text, or leave it unset "
                "and remove the empty file `secret` in RONDO_HOME"
            )
        self._key = key
        self._draws = hmac.new(key, _DRAWS, hashlib.sha256).digest()

    def sign(self, request_id: str) -> str:
        return f"{request_id}.{self._signature(request_id)}"

    def verify(self, signed: str) -> str | None:
        """The request id of a signed one; None if we did not sign it."""
        request_id, _, signature = signed.rpartition(".")
        expected = self._signature(request_id)
        matches = hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode())
        return request_id if matches and request_id else None

    def seed(self, user_id: str, request_id: str, state: str) -> str:
        """Of a draw's uniform numbers: HMAC-SHA-256 in hex. It tells nothing of any other."""
        message = json.dumps([user_id, request_id, state]).encode()
        return hmac.new(self._draws, message, hashlib.sha256).hexdigest()

    def _signature(self, request_id: str) -> str:
        message = request_id.encode("utf-8", "replace")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:_SIGNATURE]


def signer(settings: Settings) -> Signer:
    """With the key of `RONDO_SECRET`, else with a random one kept in `RONDO_HOME/secret`."""
    if settings.secret is not None:
        return Signer(settings.secret.get_secret_value().encode())
    return Signer(_kept_key(settings.root / "secret"))


def _kept_key(path: Path) -> bytes:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".secret-{os.getpid()}-{secrets.token_hex(4)}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):
            os.link(temporary, path)  # the first process wins, whole
        temporary.unlink()
    return path.read_bytes().strip()
