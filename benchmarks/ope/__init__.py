"""Benchmarks of off-policy estimates: in a world small enough to enumerate, and on real logs."""
