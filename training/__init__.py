"""Models and how they are judged: transformer, candidate sources, trees, metrics and gate."""
