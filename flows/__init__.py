"""Prefect: the pipeline's stages as tasks, ingestion, gates, retraining, rollout, the loop."""
