"""Requests as arrays, for training, judging and serving alike."""
