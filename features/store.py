"""The Feast store, configured by settings instead of by a YAML file."""

from pathlib import Path

from feast import FeatureStore, RepoConfig

from features.repo.definitions import definitions


def open_store(root: Path, features: Path, redis_url: str | None = None) -> FeatureStore:
    """A store with everything registered over the Parquet files in `features`.

    root: folder of the registry and of the online store (created); redis_url: a Redis to hold the
    online values instead. Registering again is harmless.
    """
    root.mkdir(parents=True, exist_ok=True)
    online = (
        {"type": "redis", "connection_string": redis_url}
        if redis_url
        else {"type": "sqlite", "path": str(root / "online.db")}
    )
    store = FeatureStore(
        config=RepoConfig(
            project="rondo",
            provider="local",
            registry=str(root / "registry.db"),
            online_store=online,
            offline_store={"type": "duckdb"},
            entity_key_serialization_version=3,
            repo_path=root,
        )
    )
    store.apply(definitions(features).objects)
    return store
