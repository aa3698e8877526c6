"""Models and their judgement: transformer, candidate sources, trees, metrics, gate."""
