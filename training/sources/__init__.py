"""Candidate sources other than the transformer; each scores the whole catalogue."""
