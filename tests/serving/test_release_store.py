"""Releases in S3, on a real server: complete or absent, verified, deleted. Errors are one line."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from serving import release, release_store
from serving.release import ReleaseError
from serving.release_store import StoreError
from tests.s3 import S3
from tests.serving.small import make_release


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("made") / "release"
    return folder, make_release(folder)


def test_a_release_in_s3_is_published_once_listed_fetched_and_verified(
    s3: S3, made: tuple[Path, str], tmp_path: Path
) -> None:
    url = s3.bucket("published") + "/releases"
    assert release.stored(url) == []
    folder, identity = made
    assert release.publish(folder, url) == identity
    written = {"published": s3.client().list_objects_v2(Bucket="published")["Contents"]}
    assert release.publish(folder, url) == identity
    again = {"published": s3.client().list_objects_v2(Bucket="published")["Contents"]}
    assert again == written
    assert release.stored(url) == [identity]
    fetched = release.fetch(identity, url, tmp_path / "cache")
    assert (fetched.id, fetched.path) == (identity, tmp_path / "cache" / identity)
    client = s3.client()
    client.put_object(Bucket="published", Key=f"releases/{identity}/policy.json", Body=b"{}")
    with pytest.raises(ReleaseError, match=r"policy\.json was changed"):
        release.fetch(identity, url, tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


def test_an_upload_that_breaks_off_is_no_release_until_it_is_done_again(
    s3: S3, made: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3fs import S3FileSystem

    url = s3.bucket("broken-off")
    folder, identity = made
    sent, put = [], S3FileSystem._put_file

    async def put_some(self: Any, local: str, *rest: Any, **options: Any) -> None:
        if len(sent) == 3:
            raise ConnectionError("the cable was pulled")
        sent.append(local)
        await put(self, local, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(S3FileSystem, "_put_file", put_some)
        with pytest.raises(StoreError, match="the cable was pulled"):
            release.publish(folder, url)
    S3FileSystem.clear_instance_cache()  # an instance keeps the method that it was made with
    assert len(s3.keys("broken-off")) == 3
    assert release.stored(url) == []
    assert release.begun(url) == [identity]
    with pytest.raises(ReleaseError, match="holds no release"):
        release.fetch(identity, url, tmp_path / "cache")
    release.publish(folder, url)
    assert release.fetch(identity, url, tmp_path / "cache").id == identity


@pytest.mark.parametrize("whole", [True, False])
def test_a_removed_release_leaves_nothing_and_others_alone(
    whole: bool, s3: S3, made: tuple[Path, str], tmp_path: Path
) -> None:
    name = f"removed-{whole}".lower()
    url = s3.bucket(name) + "/releases"
    release.publish(made[0], url)
    other = release.publish(_other(tmp_path), url)
    if not whole:
        s3.client().delete_object(Bucket=name, Key=f"releases/{made[1]}/manifest.json")
    release.remove(made[1], url)
    assert release.begun(url) == [other]
    assert {key.split("/")[1] for key in s3.keys(name)} == {other}
    release.remove(made[1], url)  # nothing is there any more


def _other(tmp_path: Path) -> Path:
    make_release(tmp_path / "other", seed=2)
    return tmp_path / "other"


def test_what_another_process_publishes_is_seen_at_once(
    s3: S3, made: tuple[Path, str], tmp_path: Path
) -> None:
    url = s3.bucket("shared")
    with pytest.raises(ReleaseError, match="holds no release"):
        release.fetch(made[1], url, tmp_path / "cache")
    assert release.stored(url) == []
    code = "import sys; from pathlib import Path; from serving.release import publish; "
    command = [sys.executable, "-c", code + "publish(Path(sys.argv[1]), sys.argv[2])"]
    subprocess.run([*command, str(made[0]), url], check=True)
    assert release.stored(url) == [made[1]]
    assert release.fetch(made[1], url, tmp_path / "cache").id == made[1]


def test_a_missing_bucket_is_one_line(s3: S3, made: tuple[Path, str]) -> None:
    with pytest.raises(StoreError, match=r"(?i)specified bucket does not exist") as raised:
        release.publish(made[0], "s3://nobody-made-this/releases")
    assert "s3://nobody-made-this/releases" in one_line(raised.value, s3)


def test_wrong_credentials_are_one_line_without_the_secret(
    s3: S3, made: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from s3fs import S3FileSystem

    url = s3.bucket("guarded")
    identity = made[1]
    with s3.guarded() as allowed:
        for what in (
            lambda: release.publish(made[0], url),
            lambda: release.fetch(identity, url, tmp_path / "cache"),
            lambda: release.stored(url),
        ):
            with pytest.raises(StoreError, match="access is denied") as raised:
                what()
            assert "AWS_ACCESS_KEY_ID" in one_line(raised.value, s3)
        for name, value in allowed.variables.items():
            monkeypatch.setenv(name, value)
        S3FileSystem.clear_instance_cache()
        assert release.publish(made[0], url) == identity


def test_no_credentials_are_one_line(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    url = "s3://anonymous/releases"
    with pytest.raises(StoreError, match="credentials") as raised:
        release.fetch("0" * 64, url, Path("nowhere"))
    one_line(raised.value, s3)


@pytest.mark.parametrize("url", ["no-such-kind://place/releases", "gs://bucket/releases"])
def test_a_store_of_a_kind_without_a_driver_is_one_line(url: str) -> None:
    with pytest.raises(StoreError, match=url):
        release.stored(url)


def test_the_command_that_packages_a_bento_says_in_one_line_what_is_wrong(
    s3: S3, tmp_path: Path
) -> None:
    """Without a traceback."""
    from serving import channels
    from serving.database import connect

    engine = connect(f"sqlite:///{tmp_path / 'rondo.db'}")
    channels.move(engine, "champion", "0" * 64, 0, None, now=1)
    engine.dispose()
    settings = {"RONDO_HOME": str(tmp_path), "RONDO_RELEASES_URL": s3.bucket("empty")}
    result = subprocess.run(
        [sys.executable, "-m", "serving.bento"],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 1
    assert result.stderr == f"s3://empty holds no release {'0' * 64}\n"


def test_a_url_is_shown_without_what_may_be_secret() -> None:
    assert release_store.shown("s3://key:secret@bucket/releases?token=1") == "s3://bucket/releases"
    assert release_store.shown("/srv/releases") == "/srv/releases"


def one_line(error: StoreError, s3: S3) -> str:
    said = str(error)
    assert "\n" not in said
    assert s3.secret not in said
    return said
