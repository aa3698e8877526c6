"""Decide about a canary: pure functions of what was counted of two arms."""
