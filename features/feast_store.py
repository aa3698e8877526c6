"""The Feast store, configured by settings instead of by a YAML file."""

import contextlib
import sqlite3
from pathlib import Path

from feast import FeatureStore, RepoConfig
from filelock import FileLock

from base.redis_url import connection_string
from features.repo.definitions import Definitions, definitions, served

PROJECT = "rondo"
ONLINE = "online.db"


def open_store(
    root: Path, features: Path | None = None, redis_url: str | None = None
) -> FeatureStore:
    """A store with everything registered over the Parquet files in `features`.

    root: folder of the registry and of the online store (created); features: None keeps what is
    registered, or, where that is nothing or another version's, registers views over files that do
    not exist yet; redis_url: a Redis to hold the
    online values instead of SQLite. Registering again is harmless.
    """
    root.mkdir(parents=True, exist_ok=True)
    database, registry = root / ONLINE, root / "registry.db"
    online = (
        # Without skip_dedup Feast drops a row whose time is not later than that of the stored one.
        {
            "type": "redis",
            "connection_string": connection_string(redis_url),
            "skip_dedup": True,
        }
        if redis_url
        else {"type": "sqlite", "path": str(database)}
    )
    with registry_lock(root):
        lost = not redis_url and registry.exists() and not database.exists()
        if not redis_url:
            # Readers of the service must not wait for the writer that materialises.
            with contextlib.closing(sqlite3.connect(database)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        store = FeatureStore(
            config=RepoConfig(
                project=PROJECT,
                provider="local",
                registry={"path": str(registry), "cache_ttl_seconds": 0},
                online_store=online,
                offline_store={"type": "duckdb"},
                entity_key_serialization_version=3,
                repo_path=root,
            )
        )
        wanted = definitions(features or root)
        if features is not None or not _registered(store, wanted):
            store.apply(wanted.objects)
        elif lost:  # its tables again, over what is registered
            store.apply([*store.list_entities(), *store.list_feature_views()])
    return store


def _registered(store: FeatureStore, wanted: Definitions) -> bool:
    """Does the registry name the features of these definitions? It does not before the first use,
    nor after an upgrade that gave a model another feature."""
    known = {
        view.name: {field.name for field in view.features} for view in store.list_feature_views()
    }
    services = (wanted.transformer, wanted.trees)
    return served(store.list_feature_services()) == served(services) and all(
        set(names) <= known.get(view, set()) for view, names in served(services).items()
    )


def registry_lock(root: Path) -> FileLock:
    """Held by whoever writes the registry file, which Feast replaces in place."""
    return FileLock(root / "registry.lock", timeout=60)
