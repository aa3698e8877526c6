"""The Feast repository: `feature_store.yaml` and `definitions.py`, nothing else."""
