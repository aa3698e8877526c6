"""The uses of the service's secret: sign request ids, and seed the draws of slates.

So feedback can only refer to slates that were really shown, and nobody can choose or predict what a
request id draws (docs/adr/0018). itsdangerous makes the signatures. Those of an earlier version are
still accepted, because users act on slates shown before an upgrade.
"""

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path

import itsdangerous

from base.errors import InputError
from base.settings import Settings

#: The purpose of this use of the secret. Each use has its own key.
_REQUESTS = b"rondo/requests/2"
_DRAWS = b"rondo/draws/1"
#: Hex digits of signatures made by an earlier version.
_FORMER_SIGNATURE = 24


class Signer:
    """Signs `<id>.<signature>` by HMAC-SHA-256. Raises InputError for an empty secret."""

    def __init__(self, key: bytes) -> None:
        if not key.strip():
            raise InputError(
                "the secret is empty: set RONDO_SECRET to a long random text, or leave it unset "
                "and remove the empty file `secret` in RONDO_HOME"
            )
        self._key = key
        self._ids = itsdangerous.Signer(key, salt=_REQUESTS, digest_method=hashlib.sha256)
        self._draws = hmac.new(key, _DRAWS, hashlib.sha256).digest()

    def sign(self, request_id: str) -> str:
        return self._ids.sign(request_id).decode()

    def verify(self, signed: str) -> str | None:
        """The request id in a signed one, or None if the signature is not ours."""
        try:
            request_id = self._ids.unsign(signed.encode("utf-8", "replace")).decode()
        except itsdangerous.BadSignature:
            request_id = self._verify_former(signed)
        return request_id or None

    def seed(self, user_id: str, request_id: str, state: str) -> str:
        """The seed of a draw's uniform numbers: HMAC-SHA-256 in hex.

        It reveals nothing of other seeds.
        """
        message = json.dumps([user_id, request_id, state]).encode()
        return hmac.new(self._draws, message, hashlib.sha256).hexdigest()

    def _verify_former(self, signed: str) -> str:
        """The request id in one signed by an earlier version (without itsdangerous), or an empty
        text."""
        request_id, _, signature = signed.rpartition(".")
        digest = hmac.new(self._key, request_id.encode("utf-8", "replace"), hashlib.sha256)
        expected = digest.hexdigest()[:_FORMER_SIGNATURE].encode()
        matches = hmac.compare_digest(signature.encode("utf-8", "replace"), expected)
        return request_id if matches else ""


def signer(settings: Settings) -> Signer:
    """A signer with the key in `RONDO_SECRET`, or else a random key stored in
    `RONDO_HOME/secret`."""
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
            os.link(temporary, path)  # the first process's secret is used by all
        temporary.unlink()
    return path.read_bytes().strip()
