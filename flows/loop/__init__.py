"""`make loop`: the whole system in one process tree, and its report."""
