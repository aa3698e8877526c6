"""Open the Feast store, configured by settings instead of a YAML file."""

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from features.feast_api import FeatureStore, RepoConfig
from features.repo.definitions import Definitions, definitions, served

PROJECT = "rondo"
ONLINE = "online.db"


@dataclass(frozen=True)
class OnlineEngine:
    """The engine that holds the online values.

    config: section `online_store` of a Feast configuration; file: the file with the values, if they
    are in a file of this machine, else None.
    """

    config: dict[str, Any]
    file: Path | None = None


def embedded(root: Path) -> OnlineEngine:
    """SQLite in the folder `root`."""
    file = root / ONLINE
    return OnlineEngine({"type": "sqlite", "path": str(file)}, file)


def open_store(
    root: Path, features: Path | None = None, engine: OnlineEngine | None = None
) -> FeatureStore:
    """A store with all definitions registered over the Parquet files in `features`.

    root: folder of the registry, created if missing; features: None keeps the registered files (if
    none are registered, or those of another version, the views point at files that do not exist
    yet); engine: default is the one embedded in `root`. It is safe to register again.
    """
    root.mkdir(parents=True, exist_ok=True)
    engine, registry = engine or embedded(root), root / "registry.db"
    with registry_lock(root):
        lost = engine.file is not None and registry.exists() and not engine.file.exists()
        if engine.file is not None:
            # WAL, so that readers in the service do not wait for the writer that materialises.
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
        elif lost:  # create its tables again for the registered views
            store.apply([*store.list_entities(), *store.list_feature_views()])
    return store


def _registered(store: FeatureStore, wanted: Definitions) -> bool:
    """Whether the registry holds the features of `wanted`.

    It does not before the first use, or after an upgrade that added a feature to a model.
    """
    known = {
        view.name: {field.name for field in view.features} for view in store.list_feature_views()
    }
    services = (wanted.transformer, wanted.trees)
    return served(store.list_feature_services()) == served(services) and all(
        set(names) <= known.get(view, set()) for view, names in served(services).items()
    )


def registry_lock(root: Path) -> FileLock:
    """A lock for writing the registry file, which Feast replaces in place."""
    return FileLock(root / "registry.lock", timeout=60)
