"""Deployment settings, read only from environment variables (prefix `RONDO_`).

Every setting has a default under `RONDO_HOME`, so a laptop needs none of them.
"""

from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

#: The header that has the time of a request where `clock` is `request`.
CLOCK_HEADER: Final = "x-rondo-time"


class Settings(BaseSettings):
    """Where state lives and which engines hold it."""

    model_config = SettingsConfigDict(env_prefix="RONDO_", frozen=True, extra="ignore")

    home: Path = Path(".rondo")
    """Folder of all state that is not source. Absolute, or relative to the working directory."""

    database_url: SecretStr | None = None
    """Feedback log and operations database: SQLAlchemy URL; default SQLite in `home`."""

    redis_url: SecretStr | None = None
    """Online feature store: `host:port[,password=…]` of a Redis; default SQLite in `home`."""

    releases_url: str | None = None
    """Folder or fsspec URL (`s3://…`) of releases; default a folder in `home`."""

    remote_url: str | None = None
    """DVC remote to push data versions to; default a folder in `home`."""

    secret: SecretStr | None = None
    """Signs request ids and seeds the random draws of slates.

    Default: a random one in `home/secret`.
    """

    repeat_minutes: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 30.0
    """For this long, the same question gets the slate that was first shown for it. 0 turns this
    off."""

    channel: str = "champion"
    """The channel this service follows. Empty: it keeps the release it was started with."""

    clock: Literal["system", "request"] = "system"
    """`request` takes the time from the `x-rondo-time` header (µs). Only for simulations."""

    log_level: str = "INFO"

    @cached_property
    def root(self) -> Path:
        """`home` as an absolute path."""
        return self.home.expanduser().absolute()

    @property
    def shared(self) -> list[str]:
        """Variables that are set and name state which others may use: those that end in `_URL`."""
        urls = [name for name in type(self).model_fields if name.endswith("_url")]
        return [f"RONDO_{name.upper()}" for name in urls if getattr(self, name) is not None]

    @property
    def feast(self) -> Path:
        """The folder of Feast's registry and of the embedded online store."""
        return self.root / "feast"

    @property
    def database(self) -> str:
        """The SQLAlchemy URL to use: `database_url`, or the SQLite file in `home`."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.root / 'rondo.db'}"

    @property
    def releases(self) -> str:
        """The folder or URL of releases to use: `releases_url`, or a folder in `home`."""
        return self.releases_url or str(self.root / "releases")

    @property
    def remote(self) -> str:
        """The DVC remote to use: `remote_url`, or a folder in `home`."""
        return self.remote_url or str(self.root / "remote")
