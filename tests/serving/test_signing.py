"""The key that signs request ids."""

import hashlib
import hmac
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from base.errors import InputError
from base.settings import Settings
from serving.signing import Signer, signer


def test_processes_of_one_home_that_start_together_share_one_key(tmp_path: Path) -> None:
    signed: list[str] = []

    def start() -> None:
        signed.append(signer(Settings(home=tmp_path / "home")).sign("r"))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(signed) == 8
    assert len(set(signed)) == 1
    key = tmp_path / "home" / "secret"
    assert key.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in key.parent.iterdir()] == ["secret"]


def test_two_homes_do_not_accept_each_others_ids(tmp_path: Path) -> None:
    one, two = (signer(Settings(home=tmp_path / name)) for name in "ab")
    assert one.verify(one.sign("r")) == "r"
    assert two.verify(one.sign("r")) is None


def test_the_key_of_the_environment_comes_first(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, secret=SecretStr("shared"))
    assert signer(settings).sign("r") == Signer(b"shared").sign("r")
    assert not (tmp_path / "secret").exists()


def test_a_changed_id_or_signature_is_refused() -> None:
    keeper = Signer(b"key")
    signed = keeper.sign("request")
    assert keeper.verify(signed) == "request"
    for spoiled in (
        signed[:-1],
        signed + "0",
        "x" + signed,
        signed.upper(),
        "",
        ".",
        "request",
        ".x",
        "\ud800.x",
    ):
        assert keeper.verify(spoiled) is None, spoiled


def test_an_id_that_an_earlier_version_signed_is_accepted() -> None:
    former = "request.b." + hmac.new(b"key", b"request.b", hashlib.sha256).hexdigest()[:24]
    assert Signer(b"key").verify(former) == "request.b"
    assert Signer(b"other").verify(former) is None
    assert Signer(b"key").verify(former[:-1]) is None


@pytest.mark.parametrize("secret", ["", " \n"])
def test_a_secret_that_anybody_can_guess_is_refused(secret: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="RONDO_SECRET"):
        signer(Settings(home=tmp_path, secret=SecretStr(secret)))
    (tmp_path / "secret").write_text(secret)
    with pytest.raises(InputError, match="RONDO_SECRET"):
        signer(Settings(home=tmp_path))
