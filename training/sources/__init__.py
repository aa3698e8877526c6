"""Candidate sources. Each one scores the whole catalogue."""
