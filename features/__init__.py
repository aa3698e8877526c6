"""From events to features: schema, ingestion, aggregates, the Feast repository and training
tables."""
