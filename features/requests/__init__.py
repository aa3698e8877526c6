"""Requests as arrays, in the same form for training, judging and serving."""
