"""Events in, features out: schema, ingestion, aggregates, the Feast repository, training tables."""
