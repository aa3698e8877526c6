"""The Feast repository. Holds only `feature_store.yaml` and `definitions.py`."""
