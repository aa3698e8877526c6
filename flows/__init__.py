"""Prefect flows: pipeline stages as tasks, ingestion, gates, retraining, rollout and the loop."""
