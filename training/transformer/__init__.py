"""The sequence model: a causal transformer over a user's events."""
