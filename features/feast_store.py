"""The Feast store, configured by settings instead of by a YAML file."""

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from feast import FeatureStore, RepoConfig
from filelock import FileLock

from features.repo.definitions import Definitions, definitions, served

PROJECT = "rondo"
ONLINE = "online.db"


@dataclass(frozen=True)
class OnlineEngine:
    """What holds the online values. `config`: section `online_store` of a Feast configuration;
    `file`: where they are in a file of this machine, that file; None for a server."""

    config: dict[str, Any]
    file: Path | None = None


def embedded(root: Path) -> OnlineEngine:
    """SQLite in the folder `root`."""
    file = root / ONLINE
    return OnlineEngine({"type": "sqlite", "path": str(file)}, file)


def open_store(
    root: Path, features: Path | None = None, engine: OnlineEngine | None = None
) -> FeatureStore:
    """A store with everything registered over the Parquet files in `features`.

    root: folder of the registry (created); features: None keeps what is registered, or, where that
    is nothing or another version's, registers views over files that do not exist yet; engine: None
    is the one embedded in `root`. Registering again is harmless.
    """
    root.mkdir(parents=True, exist_ok=True)
    engine, registry = engine or embedded(root), root / "registry.db"
    with registry_lock(root):
        lost = engine.file is not None and registry.exists() and not engine.file.exists()
        if engine.file is not None:
            # Readers of the service must not wait for the writer that materialises.
            with contextlib.closing(sqlite3.connect(engine.file)) as connection:
                connection.execute("PRAGMA journal_mode = WAL")
        store = FeatureStore(
            config=RepoConfig(
                project=PROJECT,
                provider="local",
                registry={"path": str(registry), "cache_ttl_seconds": 0},
                online_store=engine.config,
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
