"""Forms of Redis addresses, and a real Redis with a password and TLS."""

import datetime
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from feast.infra.online_stores.redis import RedisOnlineStore
from pydantic import SecretStr

from base.errors import InputError
from base.processes import free_port
from base.redis_url import TIMEOUTS, connection_string
from base.settings import Settings
from features.merge import UserHistory
from features.online import OnlineStore
from tests.serving.small import NOW, items

PASSWORD = 'p,a=s"s%/7'


@pytest.mark.parametrize(
    ("address", "host", "port", "options"),
    [
        ("localhost:6379", "localhost", "6379", {}),
        ("localhost:6379,password=abc,ssl=true", "localhost", "6379",
         {"password": "abc", "ssl": True}),
        ("localhost:6379,socket_timeout=9", "localhost", "6379", {"socket_timeout": 9}),
        ("redis://localhost", "localhost", "6379", {}),
        ("redis://:p%2Ca%3Ds%22s%25%2F7@cache:7000/3", "cache", "7000",
         {"password": PASSWORD, "db": 3}),
        ("rediss://me:123@cache:6380?ssl_ca_certs=/etc/ours.pem&socket_timeout=5", "cache", "6380",
         {"username": "me", "password": "123", "ssl": True, "ssl_ca_certs": "/etc/ours.pem",
          "socket_timeout": 5}),
    ],
)  # fmt: skip
def test_every_form_is_what_feast_reads(
    address: str, host: str, port: str, options: dict[str, object]
) -> None:
    nodes, found = RedisOnlineStore._parse_connection_string(connection_string(address))
    assert nodes == [{"host": host, "port": port}]
    assert found == {**TIMEOUTS, **options}


@pytest.mark.parametrize(
    "address", ["http://:hush@cache", "redis://:hush@cache/first", "redis://:hush@cache:port"]
)
def test_what_is_no_redis_is_one_line_without_the_password(address: str) -> None:
    with pytest.raises(InputError, match="RONDO_REDIS_URL") as raised:
        connection_string(address)
    assert "hush" not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int, Path]]:
    """A Redis with a password: its port, its TLS port, and the certificate to trust."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("this machine has no redis-server")
    folder, plain, safe = tmp_path_factory.mktemp("redis"), free_port(), free_port()
    certificate, key = folder / "cert.pem", folder / "key.pem"
    write_certificate(certificate, key)
    options = {
        "port": plain, "bind": "127.0.0.1", "save": "", "requirepass": PASSWORD, "dir": folder,
        "tls-port": safe, "tls-cert-file": certificate, "tls-key-file": key,
        "tls-ca-cert-file": certificate, "tls-auth-clients": "no",
    }  # fmt: skip
    command = [program, *(str(w) for name, value in options.items() for w in (f"--{name}", value))]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        time.sleep(0.5)
        yield plain, safe, certificate
    finally:
        process.terminate()
        process.wait(10)


def write_certificate(certificate: Path, key: Path) -> None:
    """A self-signed certificate of `localhost`, valid for a day."""
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(secret, hashes.SHA256())
    )
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


@pytest.mark.servers
@pytest.mark.parametrize("safe", [False, True], ids=["password", "password and TLS"])
def test_a_redis_with_a_password_and_one_with_tls_hold_histories(
    guarded: tuple[int, int, Path], tmp_path: Path, safe: bool
) -> None:
    plain, tls, certificate = guarded
    address = (
        f"rediss://:p%2Ca%3Ds%22s%25%2F7@localhost:{tls}/1?ssl_ca_certs={certificate}"
        if safe
        else f"redis://:p%2Ca%3Ds%22s%25%2F7@localhost:{plain}"
    )
    from features.items.catalogue import Catalogue

    store = OnlineStore(Settings(home=tmp_path, redis_url=SecretStr(address)))
    store.push_history({"u": UserHistory(["i1"], [1], [NOW - 5], ["i2"])}, NOW)
    catalogue = Catalogue.from_table(items())
    found = store.read(["u"], catalogue, 200)
    assert catalogue.item_ids[found.histories.items].tolist() == ["i1"]
    assert catalogue.item_ids[found.hidden.items].tolist() == ["i2"]


@pytest.mark.servers
def test_a_wrong_password_is_refused(guarded: tuple[int, int, Path], tmp_path: Path) -> None:
    from redis.exceptions import AuthenticationError

    address = SecretStr(f"redis://:wrong@localhost:{guarded[0]}")
    with pytest.raises(AuthenticationError):
        OnlineStore(Settings(home=tmp_path, redis_url=address)).snapshot()
